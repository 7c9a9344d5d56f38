using Adze.Native;
using Xunit.Abstractions;

namespace Adze.Models.Tests;

/// <summary>The forward pass against PyTorch, for models whose shapes differ as much as they can.</summary>
public sealed class ReferenceTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData("odd", DType.F32, 16)]
    [InlineData("odd", DType.F32, 1)]
    [InlineData("odd", DType.BF16, 16)]
    [InlineData("odd", DType.F16, 16)]
    [InlineData("mistral", DType.F32, 16)]
    [InlineData("mistral", DType.F32, 7)]
    [InlineData("mistral", DType.BF16, 16)]
    [InlineData("orders", DType.F32, 16)]
    [InlineData("orders", DType.F32, 256)]
    [InlineData("orders", DType.BF16, 16)]
    public void HiddenStatesAndLogitsAreAsCloseAsPyTorchs(string name, DType dtype, int pageSize)
    {
        using Reference reference = new(name);
        using ModelRunner runner = new(reference.Folder, dtype, pageSize);
        HiddenRecorder recorder = new(runner.Stream);
        float[][] logits = runner.Run(true, recorder,
            [.. reference.Prompts.Select(prompt => (new ModelRunner.Sequence(), prompt))]);
        Assert.Equal(runner.Model.Config.NumLayers + 1, recorder.Hidden.Count);
        string precision = dtype == DType.F32 ? "float32" : "bfloat16";
        for (int i = 0; i < recorder.Hidden.Count; i++)
            Check($"hidden.{i}", recorder.Hidden[i]);
        Check("logits", [.. logits.SelectMany(row => row)]);

        void Check(string tensor, float[] actual) =>
            output.WriteLine($"{tensor}: {reference.CheckWithinTwicePyTorchs(precision, tensor, actual)}");
    }

    [Theory]
    [InlineData("odd")]
    [InlineData("mistral")]
    [InlineData("orders")]
    public void GreedyDecodingGivesTheSameTokens(string name)
    {
        using Reference reference = new(name);
        using ModelRunner runner = new(reference.Folder);
        int[][] expected = reference.Greedy;
        ModelRunner.Sequence[] sequences = [.. expected.Select(_ => new ModelRunner.Sequence())];
        List<int>[] decoded = [.. expected.Select(_ => new List<int>())];
        var step = sequences.Zip(reference.GreedyPrompts).ToArray();
        while (step.Length > 0)
        {
            // Seven prompts at a time are as many tokens as the model has room for; later steps follow suit.
            float[][] logits = [.. step.Chunk(7).SelectMany(part => runner.Run(false, part))];
            for (int i = 0; i < step.Length; i++)
                decoded[Array.IndexOf(sequences, step[i].First)].Add(Array.IndexOf(logits[i], logits[i].Max()));
            step = [.. Enumerable.Range(0, sequences.Length).Where(i => decoded[i].Count < expected[i].Length)
                .Select(i => (sequences[i], new[] { decoded[i][^1] }))];
        }
        for (int i = 0; i < expected.Length; i++)
            Assert.Equal(expected[i], decoded[i]);
    }

    [Theory]
    [InlineData("odd")]
    [InlineData("mistral")]
    [InlineData("orders")]
    public void ResultsDoNotDependOnTheBatch(string name)
    {
        using Reference reference = new(name);
        using ModelRunner runner = new(reference.Folder);
        float[][] together = runner.Run(true,
            [.. reference.Prompts.Select(prompt => (new ModelRunner.Sequence(), prompt))]);
        int row = 0;
        foreach (int[] prompt in reference.Prompts)
            foreach (float[] alone in runner.Run(true, (new ModelRunner.Sequence(), prompt)))
                Assert.Equal(alone, together[row++]);
    }

    [Theory]
    [InlineData("odd", 1)]
    [InlineData("odd", 5)]
    [InlineData("mistral", 1)]
    [InlineData("mistral", 7)]
    [InlineData("mistral", 16)]
    public void ChunkedPrefillIsAsCloseAsPyTorch(string name, int chunk)
    {
        using Reference reference = new(name);
        using ModelRunner runner = new(reference.Folder, pageSize: 5);
        List<float> logits = [];
        foreach (int[] prompt in reference.Prompts)
        {
            ModelRunner.Sequence sequence = new();
            foreach (int[] part in prompt.Chunk(chunk))
                logits.AddRange(runner.Run(true, (sequence, part)).SelectMany(row => row));
        }
        reference.CheckWithinTwicePyTorchs("float32", "logits", [.. logits]);
    }
}
