using Adze.Native;

namespace Adze.Models.Tests;

public sealed class AttentionCalibrationTests : IDisposable
{
    private const string Good = """
        {"attention": {"text": "t",
            "bf16": {"phi_below": 3, "phi_above": 4.5, "phi": [[1, -2], [3.25, 1e1]]},
            "f16": {"phi_below": 1, "phi_above": 2, "phi": [[5, 6], [7, 8]]}}}
        """;

    private readonly TestFolder _folder = new();

    // Two layers of two query heads.
    private readonly TestCheckpoint _made = new();

    public AttentionCalibrationTests() => _made.AddTensors(_folder).Write(_folder);

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void AFolderNeedsNone()
    {
        Assert.Null(Open());
        _folder.Write("adze.json", """{"heads": {}, "attention": null}""");
        Assert.Null(Open());
    }

    [Fact]
    public void ReadsWhatIsThere()
    {
        _folder.Write("adze.json", Good);
        AttentionCalibration calibration = Open()!;
        Assert.Equal("t", calibration.Text);
        Assert.Equal((3, 4.5f), (calibration.BF16.PhiBelow, calibration.BF16.PhiAbove));
        Assert.Equal((1, 2), (calibration.F16.PhiBelow, calibration.F16.PhiAbove));
        Assert.Equal([[1, -2], [3.25f, 10]], calibration.BF16.Phi);
        Assert.Equal([[5, 6], [7, 8]], calibration.For(DType.F16).Phi);
        Assert.Same(calibration.BF16, calibration.For(DType.BF16));
        Assert.Same(calibration.BF16, calibration.For(DType.F32));
    }

    [Theory]
    [InlineData("\"attention\": {", "\"attention\": [{", "adze.json: is not valid JSON")]
    [InlineData("{\"attention\"", "[], {\"attention\"", "adze.json: is not valid JSON")]
    [InlineData("\"bf16\"", "\"bf17\"", "adze.json: attention.bf16 is missing")]
    [InlineData("\"text\": \"t\"", "\"text\": 3", "adze.json: attention.text is '3'; expected a string")]
    [InlineData("\"phi_below\": 3", "\"phi_below\": 0", "attention.bf16.phi_below is '0'; expected a number above 0")]
    [InlineData("\"phi_above\": 4.5", "\"phi_above\": \"4\"", "attention.bf16.phi_above is '\"4\"'; expected a number")]
    [InlineData("\"phi_below\": 1,", "", "attention.f16.phi_below is missing")]
    [InlineData("\"phi\": [[5, 6], [7, 8]]", "\"phi\": 5", "attention.f16.phi is '5'; expected a list of 2")]
    [InlineData("[[5, 6], [7, 8]]", "[[5, 6]]", "attention.f16.phi has 1 entries; this model asks for 2")]
    [InlineData("[7, 8]", "[7, 8, 9]", "attention.f16.phi[1] has 3 entries; this model asks for 2")]
    [InlineData("[7, 8]", "7", "attention.f16.phi[1] is '7'; expected a list of 2")]
    [InlineData("-2", "null", "attention.bf16.phi[0][1] is 'null'; expected a finite number")]
    [InlineData("1e1", "1e99", "attention.bf16.phi[1][1] is '1e99'; expected a finite number")]
    public void WhatIsWrongIsNamed(string old, string @new, string message)
    {
        Assert.Contains(old, Good);
        _folder.Write("adze.json", Good.Replace(old, @new, StringComparison.Ordinal));
        string refusal = Refused.By(() => Open());
        Assert.Contains(message, refusal);
        Assert.StartsWith(_folder.Path, refusal);
    }

    [Fact]
    public void WhatIsWrittenIsReadAgainAndTheRestStays()
    {
        _folder.Write("adze.json", """{"before": [1], "attention": 5, "after": {"x": "ü"}}""");
        AttentionCalibration written = new("text \"quoted\"", new(48, 48, [[1, -2.125f], [0, 1e-3f]]), new(5, 10, [[3, 4], [5, 6]]));
        written.Save(_folder.Path);
        AttentionCalibration read = Open()!;
        Assert.Equal(written.Text, read.Text);
        Assert.Equal(written.BF16.Phi, read.BF16.Phi);
        Assert.Equal(written.F16.Phi, read.F16.Phi);
        Assert.Equal((48, 48, 5, 10), (read.BF16.PhiBelow, read.BF16.PhiAbove, read.F16.PhiBelow, read.F16.PhiAbove));
        JsonSection file = JsonSection.Load(_folder.File("adze.json"));
        Assert.Equal(["before", "after", "attention"], file.Properties().Select(property => property.Name));
        Assert.Equal("ü", file.Section("after")!.Value.String("x"));
        Assert.Contains("\n        [1, -2.125],\n        [0, 0.001]\n", File.ReadAllText(_folder.File("adze.json")));
        Assert.Empty(Directory.GetFiles(_folder.Path, "*.new"));
    }

    [Fact]
    public void AUnifiedSoftmaxWantsTheFile()
    {
        string refusal = Refused.By(() => new ModelRunner(_folder.Path, softmax: Softmax.Unified).Dispose());
        Assert.EndsWith($"make it: adze tune attention --model {_folder.Path}", refusal);
    }

    [Theory]
    [InlineData(DType.F32, DType.None, 4.5f)]
    [InlineData(DType.F32, DType.F16, 2)]
    [InlineData(DType.F16, DType.None, 2)]
    [InlineData(DType.F16, DType.I8, 4.5f)]
    [InlineData(DType.F16, DType.BF16, 4.5f)]
    [InlineData(DType.BF16, DType.I8, 4.5f)]
    public void PhiGoesToAttention(DType dtype, DType cacheDType, float above)
    {
        _folder.Write("adze.json", Good);
        using ModelRunner runner = new(_folder.Path, dtype, cacheDType: cacheDType, softmax: Softmax.Unified);
        AttentionOptions options = runner.Model.Layers[1].Softmax;
        Assert.Equal((Softmax.Unified, above), (options.Softmax, options.PhiAbove));
        float[] phi = new float[2];
        options.Phi.Read<float>(phi, runner.Stream);
        Assert.Equal(above == 2 ? [7, 8] : [3.25f, 10], phi);
        Assert.True(runner.Model.Layers[0].Softmax != runner.Model.Layers[1].Softmax);
        using ModelRunner stable = new(_folder.Path, dtype);
        Assert.All(stable.Model.Layers, layer => Assert.Equal(default, layer.Softmax));
    }

    private AttentionCalibration? Open()
    {
        using Checkpoint checkpoint = Checkpoint.Open(_folder.Path);
        return checkpoint.Calibration;
    }
}
