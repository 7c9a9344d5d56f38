using Adze.Engine;

using LanguageModel model = LanguageModel.Load(args[0]);
GenerationRequest[] orders =
[
    new("Mia orders 3 apples and two pears, express delivery."),
    new("Mia orders 3 apples and two pears, express delivery.") { Temperature = 0.7f, TopP = 0.9f, Seed = 1 },
];

// All at once, through a callback that allocates nothing per token ...
GenerationStatistics statistics = model.Generate(orders, (in TokenEvent token) =>
{
    if (token.Request == 0)
        Console.Out.Write(token.Text);
});
Console.WriteLine();
Console.Error.WriteLine($"{statistics.DecodeTokensPerSecond:F0} tokens/s");

// ... or as a stream.
await foreach (GeneratedToken token in model.GenerateAsync([orders[0]]))
    Console.Write(token.Text);
