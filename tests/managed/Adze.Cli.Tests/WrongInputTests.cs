namespace Adze.Cli.Tests;

/// <summary>Each kind of wrong input gives one clear line and the right exit code.</summary>
public sealed class WrongInputTests
{
    private static readonly string[] s_generate = ["generate", "--model", Repository.Odd, "--prompt", "a"];

    [Theory]
    [InlineData("--temperature", "-1")]
    [InlineData("--temperature", "-0.5")]
    [InlineData("--temperature", "NaN")]
    [InlineData("--temperature", "Infinity")]
    [InlineData("--temperature", "∞")]
    [InlineData("--temperature", "1e99")]
    [InlineData("--temperature", "0,5")]
    [InlineData("--temperature", "1.000,5")]
    [InlineData("--temperature", "warm")]
    [InlineData("--top-k", "-1")]
    [InlineData("--top-k", "1.5")]
    [InlineData("--top-k", "99999999999")]
    [InlineData("--top-p", "-0.1")]
    [InlineData("--top-p", "1.1")]
    [InlineData("--top-p", "NaN")]
    [InlineData("--min-p", "-0.1")]
    [InlineData("--min-p", "2")]
    [InlineData("--min-p", "nan")]
    [InlineData("--max-tokens", "0")]
    [InlineData("--max-tokens", "-5")]
    [InlineData("--max-tokens", "1e3")]
    [InlineData("--seed", "-1")]
    [InlineData("--seed", "1.5")]
    [InlineData("--seed", "18446744073709551616")]
    [InlineData("--device", "-1")]
    [InlineData("--device", "first")]
    [InlineData("--threads", "-1")]
    [InlineData("--backend", "vulkan")]
    [InlineData("--backend", "1")]
    [InlineData("--backend", "CPU")]
    [InlineData("--dtype", "int4")]
    [InlineData("--kv-cache", "int5")]
    [InlineData("--kv-cache", "i32")]
    [InlineData("--page-size", "0")]
    [InlineData("--page-size", "257")]
    [InlineData("--softmax", "fast")]
    public void A_wrong_value_is_a_usage_error_that_names_it(string option, string value)
    {
        CliResult result = Cli.Run([.. s_generate, $"{option}={value}"]);
        result.ExpectRefusal(2, $"{option} is '{value}'; expected ");
        Assert.Contains("Usage:", result.Error, StringComparison.Ordinal);
        Assert.Contains("--min-p", result.Error, StringComparison.Ordinal); // the help of generate
    }

    [Theory]
    [InlineData("Option '--model' is required", "generate", "--prompt", "a")]
    [InlineData("Option '--prompt' is required", "generate", "--model", "m")]
    [InlineData("Option '--reference' is required", "validate", "--model", "m")]
    [InlineData("--model is empty", "generate", "--model", "", "--prompt", "a")]
    [InlineData("--reference is empty", "validate", "--model", "m", "--reference", "")]
    [InlineData("--held-out is 'x'", "validate", "--model", "m", "--reference", "r", "--held-out", "x")]
    [InlineData("--prompt", "generate", "--model", "m", "--prompt")]
    [InlineData("--prompt", "generate", "--model", "m", "--prompt", "a", "--prompt", "b")]
    [InlineData("--temperature", "generate", "--model", "m", "--prompt", "a", "--temperature=")]
    [InlineData("'--bogus'", "generate", "--model", "m", "--prompt", "a", "--bogus")]
    [InlineData("'stray'", "generate", "--model", "m", "--prompt", "a", "stray")]
    [InlineData("'bogus'", "bogus")]
    [InlineData("'extra'", "info", "extra")]
    [InlineData("command", "tune")]
    [InlineData("command", "bench")]
    [InlineData("'linear'", "bench", "linear")]
    [InlineData("Option '--model' is required", "tune", "attention")]
    [InlineData("--threads", "bench", "attention", "--threads", "2")]
    [InlineData("command")]
    public void Wrong_usage_exits_with_2_and_help(string message, params string[] args)
    {
        CliResult result = Cli.Run(args);
        result.ExpectRefusal(2, message);
        Assert.Contains("Usage:", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void Wrong_usage_of_a_command_in_a_group_shows_its_own_help() => Assert.Contains(
        "Usage:\n  adze tune attention [options]".Replace("adze", AppName, StringComparison.Ordinal),
        Cli.Run("tune", "attention", "--model", "m", "--context", "x").Error, StringComparison.Ordinal);

    private static string AppName => System.CommandLine.RootCommand.ExecutableName;

    [Fact]
    public void Help_is_a_result()
    {
        CliResult result = Cli.Run("generate", "--help");
        Assert.Equal((0, ""), (result.Code, result.Error));
        Assert.Contains("--temperature", result.Out, StringComparison.Ordinal);
        Assert.Contains("exit", Cli.Run("--help").Out, StringComparison.OrdinalIgnoreCase);
    }

    [Theory]
    [InlineData("/no/such/folder", "no such folder")]
    [InlineData("/etc/passwd", "not a model folder")]
    [InlineData("/tmp", "config.json")]
    public void A_folder_that_is_no_model_is_named(string path, string message) =>
        ExpectOneLine(Cli.Run("generate", "--model", path, "--prompt", "a"), message);

    [Theory]
    [InlineData("tokenizer.json", "{\"model\":", "tokenizer.json")]
    [InlineData("tokenizer.json", "", "tokenizer.json")]
    [InlineData("tokenizer.json", "[]", "tokenizer.json")]
    [InlineData("tokenizer.json", "{\"model\": {\"type\": \"Telepathy\"}}", "tokenizer.json")]
    [InlineData("tokenizer.json", null, "tokenizer.json")]
    [InlineData("config.json", "{", "config.json")]
    [InlineData("config.json", "{\"architectures\": [\"GPT2LMHeadModel\"]}", "config.json")]
    [InlineData("config.json", null, "config.json")]
    [InlineData("generation_config.json", "{\"eos_token_id\": \"end\"}", "generation_config.json")]
    [InlineData("model.safetensors.index.json", "{}", "model.safetensors.index.json")]
    [InlineData("model-00001-of-00002.safetensors", "short", "model-00001-of-00002.safetensors")]
    [InlineData("model-00002-of-00002.safetensors", null, "model-00002-of-00002.safetensors")]
    public void A_broken_file_is_named(string file, string? content, string message)
    {
        using ModelCopy copy = new(Repository.Odd);
        File.Delete(copy[file]);
        if (content is not null)
            File.WriteAllText(copy[file], content);
        ExpectOneLine(Cli.Run("generate", "--model", copy.Directory, "--prompt", "a"), message);
    }

    [Theory]
    [InlineData("tokenizer.json")]
    [InlineData("config.json")]
    [InlineData("model-00001-of-00002.safetensors")]
    public void A_folder_in_a_files_place_is_unreadable(string file)
    {
        using ModelCopy copy = new(Repository.Odd);
        File.Delete(copy[file]);
        Directory.CreateDirectory(copy[file]);
        ExpectOneLine(Cli.Run("generate", "--model", copy.Directory, "--prompt", "a"), $"{file}: is a folder, not a file");
    }

    [Fact]
    public void A_prompt_longer_than_the_context_is_refused_with_both_lengths()
    {
        string prompt = string.Concat(Enumerable.Repeat("many words ", 400));
        ExpectOneLine(Cli.Run("generate", "--model", Repository.Odd, "--prompt", prompt), "context holds 256");
    }

    [Fact]
    public void A_prompt_without_tokens_is_refused() =>
        ExpectOneLine(Cli.Run("generate", "--model", Repository.Odd, "--prompt", ""), "the prompt is empty");

    // A machine may have what others lack: then there is nothing to refuse. The checkout may hold a plug-in of an older build.
    [Theory]
    [InlineData("hip", "(backend hip has no device: hipGetDeviceCount: |cmake --preset hip && cmake --build --preset hip)")]
    [InlineData("cuda", "backend cuda (has no device: cudaGetDeviceCount: |is not built into this libadze.so; build it: " +
        "cmake --preset cuda && cmake --build --preset cuda)")]
    public void A_backend_that_is_not_there_is_the_devices_failure(string backend, string message)
    {
        CliResult result = Cli.Run([.. s_generate, "--backend", backend]);
        if (result.Code == 0)
            return;
        result.ExpectRefusal(3, "");
        Assert.Matches(message, Assert.Single(result.Error.TrimEnd().Split('\n')));
        CliResult info = Cli.Run("info", "--backend", backend);
        info.ExpectRefusal(3, "");
        Assert.Matches(message, info.Error);
    }

    [Fact]
    public void A_device_that_is_not_there_is_the_devices_failure() =>
        Cli.Run([.. s_generate, "--backend", "cpu", "--device", "77"]).ExpectRefusal(3, "77");

    [Theory]
    [InlineData("/no/such/file", "/no/such/file")]
    [InlineData("/tmp", "/tmp")]
    [InlineData("/etc/passwd", "/etc/passwd")]
    public void An_unusable_reference_is_named(string path, string message) =>
        ExpectOneLine(Cli.Run("validate", "--model", Repository.Odd, "--reference", path), message);

    [Fact]
    public void The_reference_of_another_model_is_refused() => ExpectOneLine(
        Cli.Run("validate", "--model", Repository.Odd, "--reference", Repository.OrdersReference), "orders.safetensors");

    private static void ExpectOneLine(CliResult result, string message)
    {
        result.ExpectRefusal(2, message);
        Assert.Single(result.Error.TrimEnd().Split('\n'));
    }
}
