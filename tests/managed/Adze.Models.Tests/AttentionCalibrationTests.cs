using Adze.Native;

namespace Adze.Models.Tests;

public sealed class AttentionCalibrationTests : IDisposable
{
    private const string Good = """
        {"attention": {"text": "t", "phi": [[1, -2], [3.25, 1e1]]}}
        """;

    private readonly TestFolder _folder = new();

    // Two layers of two query heads.
    private readonly TestCheckpoint _made = new();

    public AttentionCalibrationTests() => _made.AddTensors(_folder).Write(_folder);

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void AFolderNeedsNone()
    {
        Assert.Null(Load());
        _folder.Write("adze.json", """{"heads": {}, "attention": null}""");
        Assert.Null(Load());
    }

    [Fact]
    public void ReadsWhatIsThere()
    {
        _folder.Write("adze.json", Good);
        AttentionCalibration calibration = Load()!;
        Assert.Equal("t", calibration.Text);
        Assert.Equal([[1, -2], [3.25f, 10]], calibration.Phi);
    }

    [Theory]
    [InlineData("\"attention\": {", "\"attention\": [{", "adze.json: is not valid JSON")]
    [InlineData("{\"attention\"", "[], {\"attention\"", "adze.json: is not valid JSON")]
    [InlineData("\"phi\"", "\"phy\"", "adze.json: attention.phi is missing")]
    [InlineData("\"text\": \"t\"", "\"text\": 3", "adze.json: attention.text is '3'; expected a string")]
    [InlineData("[[1, -2], [3.25, 1e1]]", "5", "attention.phi is '5'; expected a list of 2")]
    [InlineData("[[1, -2], [3.25, 1e1]]", "[[1, -2]]", "attention.phi has 1 entries; this model asks for 2")]
    [InlineData("1e1]", "1e1, 9]", "attention.phi[1] has 3 entries; this model asks for 2")]
    [InlineData("[3.25, 1e1]", "7", "attention.phi[1] is '7'; expected a list of 2")]
    [InlineData("-2", "null", "attention.phi[0][1] is 'null'; expected a finite number")]
    [InlineData("1e1", "1e99", "attention.phi[1][1] is '1e99'; expected a finite number")]
    public void WhatIsWrongIsNamed(string old, string @new, string message)
    {
        Assert.Contains(old, Good);
        _folder.Write("adze.json", Good.Replace(old, @new, StringComparison.Ordinal));
        string refusal = Refused.By(() => Load());
        Assert.Contains(message, refusal);
        Assert.StartsWith(_folder.Path, refusal);
    }

    [Fact]
    public void WhatIsWrittenIsReadAgainAndTheRestStays()
    {
        _folder.Write("adze.json", """{"before": [1], "attention": 5, "after": {"x": "ü"}}""");
        AttentionCalibration written = new("text \"quoted\"", [[1, -2.125f], [0, 1e-3f]]);
        written.Save(_folder.Path);
        AttentionCalibration read = Load()!;
        Assert.Equal(written.Text, read.Text);
        Assert.Equal(written.Phi, read.Phi);
        JsonSection file = JsonSection.Load(_folder.File("adze.json"));
        Assert.Equal(["before", "after", "attention"], file.Properties().Select(property => property.Name));
        Assert.Equal("ü", file.Section("after")!.Value.String("x"));
        Assert.Contains("\n      [1, -2.125],\n      [0, 0.001]\n", File.ReadAllText(_folder.File("adze.json")));
        Assert.Empty(Directory.GetFiles(_folder.Path, "*.new"));
    }

    [Fact]
    public void AUnifiedSoftmaxWantsTheFile()
    {
        string refusal = Refused.By(() => new ModelRunner(_folder.Path, softmax: Softmax.Unified).Dispose());
        Assert.EndsWith($"make it: adze tune attention --model {_folder.Path}", refusal);
    }

    [Theory]
    [InlineData(Softmax.Unified)]
    [InlineData(Softmax.Tuned)]
    public void PhiGoesToAttention(Softmax softmax)
    {
        _folder.Write("adze.json", Good);
        using ModelRunner runner = new(_folder.Path, softmax: softmax);
        AttentionOptions options = runner.Model.Layers[1].Softmax;
        Assert.Equal((softmax, 0, 0), (options.Softmax, options.PhiBelow, options.PhiAbove));
        float[] phi = new float[2];
        options.Phi.Read<float>(phi, runner.Stream);
        Assert.Equal([3.25f, 10], phi);
        Assert.True(runner.Model.Layers[0].Softmax != runner.Model.Layers[1].Softmax);
        File.Delete(_folder.File("adze.json"));
        if (softmax == Softmax.Tuned)
            ExpectStable(softmax);
    }

    [Fact]
    public void AStableSoftmaxDoesNotReadTheFile()
    {
        _folder.Write("adze.json", "no JSON");
        ExpectStable(Softmax.Stable);
        Refused.By(() => new ModelRunner(_folder.Path, softmax: Softmax.Tuned).Dispose());
    }

    [Fact]
    public void TheDefaultIsWhatIsMeasuredToBeFaster() => Assert.Equal(Softmax.Tuned, new ModelOptions().Softmax);

    private void ExpectStable(Softmax softmax)
    {
        using ModelRunner runner = new(_folder.Path, softmax: softmax);
        Assert.All(runner.Model.Layers, layer => Assert.Equal(default, layer.Softmax));
    }

    private AttentionCalibration? Load()
    {
        using Checkpoint checkpoint = Checkpoint.Open(_folder.Path);
        return AttentionCalibration.Load(checkpoint.Directory, checkpoint.Config);
    }
}
