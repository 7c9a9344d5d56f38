using System.Text.Json;

namespace Adze.Cli.Tests;

/// <summary>tune attention: the table, the file, and what the other commands make of it.</summary>
public sealed class TuneTests
{
    private const string Text = "Once upon a time there were many words, and they were long.";

    [Fact]
    public void Attention_prints_a_row_for_every_head_and_writes_the_file()
    {
        using ModelCopy copy = new(Repository.Odd);
        File.WriteAllText(copy["text.txt"], Text);
        CliResult result = Tune(copy, "--text", copy["text.txt"]);
        Assert.Equal((0, ""), (result.Code, result.Error));
        Assert.Matches(@"layer +head +1 % +50 % +99 % +maxima +phi +% in", result.Out);
        Assert.Matches(@"(?m)^ +4 +0( +-?\d+\.\d){3} +-?\d+\.\d to -?\d+\.\d +-?\d+\.\d +100\.0 *$", result.Out);
        Assert.EndsWith($"tokens of text.txt: wrote {copy["adze.json"]}\n", result.Out, StringComparison.Ordinal);
        Assert.All(result.Out.Split('\n')[..^2], line => Assert.InRange(line.Length, 0, 80));
        using JsonDocument file = JsonDocument.Parse(File.ReadAllText(copy["adze.json"]));
        Assert.Equal(5, file.RootElement.GetProperty("attention").GetProperty("phi").GetArrayLength());

        CliResult unified = Cli.Run("generate", "--model", copy.Directory, "--prompt", "Once", "--softmax", "unified");
        Assert.Equal(0, unified.Code);
        Assert.Equal(Cli.Run("generate", "--model", copy.Directory, "--prompt", "Once").Out, unified.Out);
    }

    [Fact]
    public void Json_holds_the_histograms_and_phi()
    {
        using ModelCopy copy = new(Repository.Odd);
        File.WriteAllText(copy["text.txt"], Text);
        using JsonDocument json = JsonDocument.Parse(Tune(copy, "--text", copy["text.txt"], "--json").Out);
        JsonElement root = json.RootElement;
        int tokens = root.GetProperty("tokens").GetInt32(), layers = 5;
        Assert.Equal(copy["adze.json"], root.GetProperty("path").GetString());
        Assert.Equal(0, root.GetProperty("heads").GetArrayLength() % layers);
        JsonElement head = root.GetProperty("heads")[0];
        Assert.Equal(tokens * (tokens + 1) / 2, head.GetProperty("logits").GetProperty("count").GetInt32());
        Assert.Equal(tokens, head.GetProperty("maxima").GetProperty("count").GetInt32());
        double phi = head.GetProperty("phi").GetDouble(), below = root.GetProperty("phi_below").GetDouble();
        Assert.True(head.GetProperty("maxima").GetProperty("least").GetDouble() > phi - below);
        Assert.Equal(1, head.GetProperty("within").GetDouble());
    }

    [Fact]
    public void Sequences_are_as_long_as_asked_for()
    {
        using ModelCopy copy = new(Repository.Odd);
        File.WriteAllText(copy["text.txt"], string.Concat(Enumerable.Repeat(Text, 20)));
        using JsonDocument json = JsonDocument.Parse(
            Tune(copy, "--text", copy["text.txt"], "--context", "16", "--json").Out);
        long tokens = json.RootElement.GetProperty("tokens").GetInt64();
        long count = json.RootElement.GetProperty("heads")[0].GetProperty("logits").GetProperty("count").GetInt64();
        Assert.InRange(count, tokens, tokens * 17 / 2);
    }

    [Fact]
    public void What_cannot_be_tuned_is_named()
    {
        using ModelCopy copy = new(Repository.Odd);
        Tune(copy).ExpectRefusal(2, "has no heldout.jsonl; name a text: --text FILE");
        Tune(copy, "--text", "/no/such/file").ExpectRefusal(2, "/no/such/file");
        Tune(copy, "--text", "").ExpectRefusal(2, "--text is empty");
        Tune(copy, "--context", "15").ExpectRefusal(2, "--context is '15'; expected an integer from 16");
        Assert.False(File.Exists(copy["adze.json"]));
        Cli.Run("generate", "--model", copy.Directory, "--prompt", "a", "--softmax", "unified")
            .ExpectRefusal(2, $"make it: adze tune attention --model {copy.Directory}");
    }

    [Fact]
    public void A_file_that_does_not_fit_is_replaced()
    {
        using ModelCopy copy = new(Repository.Odd);
        File.WriteAllText(copy["adze.json"], """{"attention": {"phi": [[1]]}, "other": 7}""");
        Generate().ExpectRefusal(2, $"{copy["adze.json"]}: attention.phi has 1 entries; this model asks for 5");
        File.WriteAllText(copy["text.txt"], Text);
        Assert.Equal(0, Tune(copy, "--text", copy["text.txt"]).Code);
        Assert.Equal(0, Generate().Code);
        using JsonDocument file = JsonDocument.Parse(File.ReadAllText(copy["adze.json"]));
        Assert.Equal(7, file.RootElement.GetProperty("other").GetInt32());

        CliResult Generate() => Cli.Run("generate", "--model", copy.Directory, "--prompt", "a", "--max-tokens", "1");
    }

    [Theory]
    [InlineData("--softmax")]
    [InlineData("--kv-cache")]
    [InlineData("--page-size")]
    public void What_phi_does_not_depend_on_is_no_option(string option)
    {
        using ModelCopy copy = new(Repository.Odd);
        CliResult result = Tune(copy, option, "auto");
        Assert.Equal(2, result.Code);
        Assert.Contains(option, result.Error, StringComparison.Ordinal);
    }

    private static CliResult Tune(ModelCopy copy, params string[] args) =>
        Cli.Run(["tune", "attention", "--model", copy.Directory, "--backend", "cpu", .. args]);
}
