using System.Globalization;
using System.Text.Json;

namespace Adze.Cli.Tests;

/// <summary><c>adze generate</c> with right input.</summary>
public sealed class GenerateTests
{
    private const string Prompt = "Mia orders 3 apples and two pears, express delivery.";

    private const string Answer = """{"customer":"Mia","items":[{"name":"apple","quantity":3},"""
        + """{"name":"pear","quantity":2}],"delivery":"express"}""";

    private static readonly string[] s_orders =
        ["generate", "--backend", "cpu", "--model", Repository.Orders, "--prompt", Prompt];

    [Fact]
    public void Standard_output_holds_the_completion_and_nothing_else() =>
        Assert.Equal(new CliResult(0, Answer, ""), Cli.Run(s_orders));

    /// <summary>All the way through the GPU kernels, in bf16.</summary>
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Simulated_devices_give_the_tokens_of_the_cpu(int device) =>
        Assert.Equal(
            new CliResult(0, Answer, ""),
            Cli.Run("generate", "--backend", "sim", "--device", $"{device}", "--model", Repository.Orders, "--prompt", Prompt));

    [Fact]
    public void Echo_puts_the_prompt_before_it() =>
        Assert.Equal(new CliResult(0, Prompt + Answer, ""), Cli.Run([.. s_orders, "--echo"]));

    [Fact]
    public void Stats_go_to_standard_error_in_the_invariant_culture()
    {
        CliResult result = Cli.Run([.. s_orders, "--stats"]);
        Assert.Equal(Answer, result.Out);
        Assert.Matches(@"time to first token +\d+\.\d ms", result.Error);
        Assert.Matches(@"prompt +16 tokens, \d+\.\d tokens/s", result.Error);
        Assert.Matches(@"completion +28 tokens, \d+\.\d tokens/s", result.Error);
    }

    [Fact]
    public void Json_is_one_object()
    {
        CliResult result = Cli.Run([.. s_orders, "--json", "--echo"]);
        using JsonDocument json = JsonDocument.Parse(result.Out);
        Assert.Equal(Prompt, json.RootElement.GetProperty("prompt").GetString());
        Assert.Equal(Answer, json.RootElement.GetProperty("completion").GetString());
        Assert.Equal("stop", json.RootElement.GetProperty("finish_reason").GetString());
        JsonElement stats = json.RootElement.GetProperty("stats");
        Assert.Equal(28, stats.GetProperty("completion_tokens").GetInt32());
        Assert.Equal(28, json.RootElement.GetProperty("tokens").GetArrayLength());
        Assert.True(stats.GetProperty("time_to_first_token_ms").GetDouble() > 0);
        Assert.Equal(1, result.Out.Count(character => character == '\n'));
    }

    [Fact]
    public void Max_tokens_limits()
    {
        CliResult result = Cli.Run([.. s_orders, "--max-tokens", "3", "--json"]);
        using JsonDocument json = JsonDocument.Parse(result.Out);
        Assert.Equal(3, json.RootElement.GetProperty("tokens").GetArrayLength());
        Assert.Equal("max_tokens", json.RootElement.GetProperty("finish_reason").GetString());
    }

    [Fact]
    public void A_seed_repeats_and_another_differs()
    {
        string first = Sample("--seed", "1");
        Assert.Equal(first, Sample("--seed", "1"));
        Assert.NotEqual(first, Sample("--seed", "18446744073709551615"));
        Assert.NotEqual(first, Sample("--seed", "1", "--top-k", "2"));
        Assert.NotEqual(first, Sample("--seed", "1", "--top-p", "0.5"));
        Assert.NotEqual(first, Sample("--seed", "1", "--min-p", "0.5"));
        Assert.Equal(Odd(), Sample("--top-k", "1"));

        static string Sample(params string[] options) => Odd(["--temperature", "3", .. options]);
    }

    [Theory]
    [InlineData("0.5", "5e-1")]
    [InlineData("1", "+1.000")]
    public void Numbers_are_read_in_the_invariant_culture(string one, string other)
    {
        CultureInfo before = CultureInfo.CurrentCulture;
        try
        {
            CultureInfo german = (CultureInfo)CultureInfo.InvariantCulture.Clone();
            german.NumberFormat.NumberDecimalSeparator = ",";
            german.NumberFormat.NumberGroupSeparator = ".";
            CultureInfo.CurrentCulture = german;
            string text = Odd("--temperature", one, "--seed", "9");
            Assert.Equal(text, Odd("--temperature", other, "--seed", "9"));
            Assert.NotEqual(text, Odd("--temperature", "5", "--seed", "9"));
            CliResult stats = Cli.Run([.. s_orders, "--stats", "--max-tokens", "2"]);
            Assert.Matches(@"first token +\d+\.\d ms", stats.Error);
        }
        finally
        {
            CultureInfo.CurrentCulture = before;
        }
    }

    [Fact]
    public void A_prompt_that_begins_with_an_at_sign_is_no_file_of_arguments() =>
        Assert.StartsWith("@file", Cli.Run(
            "generate", "--model", Repository.Odd, "--prompt", "@file", "--echo", "--max-tokens", "1").Out, StringComparison.Ordinal);

    [Theory]
    [InlineData("@file")]
    [InlineData("-1 and --2")]
    [InlineData("漢字 🙂\n\ttabs")]
    public void A_prompt_may_be_any_text(string prompt)
    {
        CliResult result = Cli.Run("generate", "--model", Repository.Odd, $"--prompt={prompt}", "--echo", "--max-tokens", "2");
        Assert.Equal(0, result.Code);
        Assert.StartsWith(prompt, result.Out, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("f32")]
    [InlineData("bf16")]
    public void Types_can_be_chosen(string dtype) =>
        Assert.Equal(Answer, Cli.Run([.. s_orders, "--dtype", dtype, "--threads", "1", "--device", "0"]).Out);

    private static string Odd(params string[] options)
    {
        CliResult result = Cli.Run(
            ["generate", "--model", Repository.Odd, "--prompt", "Once upon", "--max-tokens", "12", "--json", .. options]);
        Assert.True(result.Code == 0, result.Error);
        using JsonDocument json = JsonDocument.Parse(result.Out);
        return json.RootElement.GetProperty("tokens").GetRawText();
    }
}
