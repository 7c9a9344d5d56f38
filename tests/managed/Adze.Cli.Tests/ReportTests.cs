using System.Text.Json;

namespace Adze.Cli.Tests;

/// <summary>validate, demo and info: what they print, and their verdict.</summary>
public sealed class ReportTests
{
    [Fact]
    public void Validate_prints_a_row_for_every_layer_and_the_logits_beside_the_tolerances()
    {
        CliResult result = Cli.Run("validate", "--model", Repository.Odd, "--reference", Repository.OddReference);
        Assert.Equal((0, ""), (result.Code, result.Error));
        foreach (string row in (string[])["embedding", "layer 1", "layer 5", "logits"])
            Assert.Matches($@"{row} +\d\S* +\d\S* +\d\S* +\d\S* +ok", result.Out);
        Assert.Matches(@"greedy continuations +8/8 +100 % +ok", result.Out);
        Assert.EndsWith("passed\n", result.Out, StringComparison.Ordinal);
        ExpectPlainText(result.Out);
    }

    [Fact]
    public void Validate_prints_the_exact_answers_to_held_out_prompts()
    {
        CliResult result = Cli.Run(
            "validate", "--model", Repository.Orders, "--reference", Repository.OrdersReference, "--held-out", "20");
        Assert.Equal(0, result.Code);
        Assert.Matches(@"held-out answers +\d+/20 +95 % +ok", result.Out);
    }

    [Fact]
    public void Validate_holds_a_narrower_cache_to_the_answers_alone()
    {
        string[] validate = ["validate", "--model", Repository.Orders, "--reference", Repository.OrdersReference,
            "--backend", "cpu", "--held-out", "20", "--kv-cache", "bf16", "--page-size", "5"];
        CliResult result = Cli.Run(validate);
        Assert.Equal((0, ""), (result.Code, result.Error));
        Assert.Matches(@"embedding +0 +0 +0 +0 +ok", result.Out);
        Assert.Matches(@"layer 1 +\d\S* +- +\d\S* +- +- ", result.Out);
        Assert.Matches(@"held-out answers +\d+/20 +95 % +ok", result.Out);
        Assert.EndsWith("f32, KV cache in bf16: passed\n", result.Out, StringComparison.Ordinal);
        using JsonDocument json = JsonDocument.Parse(Cli.Run([.. validate, "--json"]).Out);
        Assert.Equal("bf16", json.RootElement.GetProperty("kv_cache").GetString());
    }

    [Fact]
    public void Validate_exits_with_1_and_says_which_row_is_over()
    {
        using ModelCopy copy = new(Repository.Odd);
        string config = File.ReadAllText(copy["config.json"]);
        Assert.Contains("\"rms_norm_eps\": 1e-05", config, StringComparison.Ordinal);
        File.WriteAllText(copy["config.json"], config.Replace("1e-05", "1e-02", StringComparison.Ordinal));
        CliResult result = Cli.Run("validate", "--model", copy.Directory, "--reference", Repository.OddReference);
        Assert.Equal((1, ""), (result.Code, result.Error));
        Assert.Matches(@"embedding .* ok", result.Out);
        Assert.Matches(@"layer 1 .* OVER", result.Out);
        Assert.Contains("FAILED: layer 1, layer 2", result.Out, StringComparison.Ordinal);
        using JsonDocument json = JsonDocument.Parse(
            Cli.Run("validate", "--model", copy.Directory, "--reference", Repository.OddReference, "--json").Out);
        Assert.False(json.RootElement.GetProperty("passed").GetBoolean());
    }

    [Fact]
    public void Validate_json_holds_the_same_numbers()
    {
        CliResult result = Cli.Run("validate", "--model", Repository.Odd, "--reference", Repository.OddReference, "--json");
        using JsonDocument json = JsonDocument.Parse(result.Out);
        Assert.True(json.RootElement.GetProperty("passed").GetBoolean());
        JsonElement logits = json.RootElement.GetProperty("errors")[6];
        Assert.Equal("logits", logits.GetProperty("name").GetString());
        double error = logits.GetProperty("relative_error").GetDouble();
        Assert.InRange(error, 1e-9, logits.GetProperty("relative_tolerance").GetDouble());
        Assert.Equal(8, json.RootElement.GetProperty("greedy").GetProperty("right").GetInt32());
        Assert.Equal(JsonValueKind.Null, json.RootElement.GetProperty("held_out").ValueKind);
    }

    [Fact]
    public void Demo_shows_prompts_answers_the_table_and_speed()
    {
        CliResult result = Cli.Run("demo");
        Assert.Equal((0, ""), (result.Code, result.Error));
        Assert.Contains("Mia orders 3 apples and two pears, express delivery.", result.Out, StringComparison.Ordinal);
        string[] answers = [.. result.Out.Split('\n').Where(line => line.StartsWith("  {", StringComparison.Ordinal))];
        Assert.Equal(3, answers.Length);
        foreach (string answer in answers)
            JsonDocument.Parse(answer).Dispose();
        Assert.Matches(@"layer 4 +\d", result.Out);
        Assert.Matches(@"greedy continuations +32/32", result.Out);
        Assert.Matches(@"held-out answers +(19\d|200)/200", result.Out);
        Assert.Matches(@"completion +\d+ tokens, \d+\.\d tokens/s", result.Out);
        Assert.DoesNotContain('\u001b', result.Out);
    }

    [Fact]
    public void Info_lists_every_backend()
    {
        CliResult result = Cli.Run("info");
        Assert.Equal((0, ""), (result.Code, result.Error));
        foreach (string backend in (string[])["cpu", "sim", "cuda", "hip"])
            Assert.Matches($@"(?m)^ *{backend} ", result.Out);
        Assert.Contains("adze 0.1.0, ABI 0", result.Out, StringComparison.Ordinal);
        using JsonDocument json = JsonDocument.Parse(Cli.Run("info", "--json").Out);
        Assert.Equal("0.1.0", json.RootElement.GetProperty("version").GetString());
        Assert.Equal(4, json.RootElement.GetProperty("backends").GetArrayLength());
        Assert.True(json.RootElement.GetProperty("backends")[0].GetProperty("devices").GetArrayLength() > 0);
    }

    [Fact]
    public void Info_lists_the_simulated_devices()
    {
        using JsonDocument json = JsonDocument.Parse(Cli.Run("info", "--backend", "sim", "--json").Out);
        JsonElement backend = Assert.Single(json.RootElement.GetProperty("backends").EnumerateArray());
        Assert.Equal(
            ["sm_80", "sm_90a", "gfx90a", "sm_89"],
            backend.GetProperty("devices").EnumerateArray().Select(device => device.GetProperty("architecture").GetString()));
        CliResult result = Cli.Run("info", "--backend", "sim");
        Assert.Equal((0, ""), (result.Code, result.Error));
        Assert.Matches(@"(?m)^ *sim +3 +sim device 3 \(sm_89\) +sm_89 ", result.Out);
        ExpectPlainText(string.Join('\n', result.Out.Split('\n')[2..])); // the build's line is longer
    }

    private static void ExpectPlainText(string text)
    {
        Assert.DoesNotContain('\u001b', text);
        Assert.DoesNotContain('…', text); // Spectre's sign for what did not fit
        Assert.All(text.Split('\n'), line => Assert.InRange(line.Length, 0, 80));
    }
}
