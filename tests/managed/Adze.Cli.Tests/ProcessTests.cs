using System.Diagnostics;
using System.Text;

namespace Adze.Cli.Tests;

/// <summary>What only a process shows: locale, encoding, pipes, signals.</summary>
public sealed class ProcessTests
{
    [Fact]
    public void A_german_locale_changes_neither_reading_nor_printing()
    {
        CliResult german = Sample("de_DE.UTF-8", "0.5");
        Assert.Equal(0, german.Code);
        Assert.Equal(Sample("C", "0.5").Out, german.Out);
        Assert.NotEqual(Sample("C", "5").Out, german.Out);
        Assert.Matches(@"first token +\d+\.\d ms", german.Error);
        Assert.Equal(2, Sample("de_DE.UTF-8", "0,5").Code);

        static CliResult Sample(string locale, string temperature)
        {
            ProcessStartInfo start = Cli.Command("generate", "--model", Repository.Odd, "--prompt", "Once", "--max-tokens", "12",
                "--temperature", temperature, "--seed", "4", "--stats");
            start.Environment["LANG"] = start.Environment["LC_ALL"] = locale;
            return Cli.RunProcess(start);
        }
    }

    [Fact]
    public void The_version_is_the_programs() =>
        Assert.StartsWith("0.1.0", Cli.RunProcess(Cli.Command("--version")).Out, StringComparison.Ordinal);

    [Fact]
    public void Standard_output_is_utf8_without_a_mark()
    {
        const string Prompt = "Ünïcödé 漢字 🙂";
        using Process process = Process.Start(
            Cli.Command("generate", "--model", Repository.Odd, "--prompt", Prompt, "--echo", "--max-tokens", "1"))!;
        using MemoryStream bytes = new();
        process.StandardOutput.BaseStream.CopyTo(bytes);
        process.WaitForExit();
        Assert.Equal(0, process.ExitCode);
        Assert.Equal(Encoding.UTF8.GetBytes(Prompt), bytes.ToArray()[..Encoding.UTF8.GetByteCount(Prompt)]);
    }

    [Theory]
    [InlineData("generate")]
    [InlineData("validate")]
    public void A_reader_that_goes_away_is_no_error(string command)
    {
        string[] args = command == "generate"
            ? ["generate", "--model", Repository.Odd, "--prompt", "a", "--max-tokens", "200"]
            : ["validate", "--model", Repository.Odd, "--reference", Repository.OddReference];
        using Process process = Process.Start(Cli.Command(args))!;
        process.StandardOutput.Close();
        string error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        Assert.Equal((0, ""), (process.ExitCode, error));
    }

    [Fact]
    public void A_full_disk_is_one_line()
    {
        ProcessStartInfo start = new("sh", ["-c", "exec \"$0\" \"$@\" > /dev/full",
            .. Arguments(Cli.Command("generate", "--model", Repository.Odd, "--prompt", "a"))])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["DOTNET_ROOT"] = Cli.Command().Environment["DOTNET_ROOT"];
        CliResult result = Cli.RunProcess(start);
        Assert.Equal(2, result.Code);
        Assert.Single(result.Error.TrimEnd().Split('\n'));

        static IEnumerable<string> Arguments(ProcessStartInfo command) => [command.FileName, .. command.ArgumentList];
    }

    [Theory]
    [InlineData("2>&-", 2, "generate", "--model", "/nope", "--prompt", "a")]
    [InlineData("2>/dev/full", 2, "foo")]
    [InlineData("2>&-", 0, "generate", "--model", "odd", "--prompt", "a", "--stats")]
    public void Standard_error_that_cannot_be_written_changes_no_exit_code(string redirection, int code, params string[] args)
    {
        ProcessStartInfo command = Cli.Command([.. args.Select(arg => arg == "odd" ? Repository.Odd : arg)]);
        ProcessStartInfo start = new("sh", ["-c", $"exec \"$0\" \"$@\" {redirection}", command.FileName, .. command.ArgumentList])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["DOTNET_ROOT"] = command.Environment["DOTNET_ROOT"];
        Assert.Equal(code, Cli.RunProcess(start).Code);
    }

    [Fact]
    public async Task An_interrupt_ends_it_quietly()
    {
        using ModelCopy copy = new(Repository.Odd); // with a context that would last for minutes
        string config = File.ReadAllText(copy["config.json"]);
        Assert.Contains("\"max_position_embeddings\": 256", config, StringComparison.Ordinal);
        File.WriteAllText(copy["config.json"], config.Replace(
            "\"max_position_embeddings\": 256", "\"max_position_embeddings\": 100000", StringComparison.Ordinal));
        ProcessStartInfo command = Cli.Command("generate", "--backend", "cpu", "--model", copy.Directory,
            "--prompt", "Once upon", "--max-tokens", "99000");
        // A shell starts what it runs in the background with interrupts ignored, and these tests may be run so.
        ProcessStartInfo start = new("env", ["--default-signal=INT", command.FileName, .. command.ArgumentList])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["DOTNET_ROOT"] = command.Environment["DOTNET_ROOT"];
        using Process process = Process.Start(start)!;
        try
        {
            Task<string> error = process.StandardError.ReadToEndAsync();
            char[] first = new char[1];
            Assert.Equal(1, await process.StandardOutput.ReadAsync(first)); // it is at work
            using (Process kill = Process.Start("kill", ["-INT", $"{process.Id}"]))
                await kill.WaitForExitAsync();
            using CancellationTokenSource limit = new(TimeSpan.FromSeconds(60));
            await Task.WhenAll(process.StandardOutput.ReadToEndAsync(limit.Token), error);
            await process.WaitForExitAsync(limit.Token);
            Assert.Equal((130, ""), (process.ExitCode, await error));
        }
        finally
        {
            process.Kill();
        }
    }

    [Fact]
    public void A_refusal_has_its_exit_code()
    {
        Cli.RunProcess(Cli.Command("generate", "--model", "/no/such", "--prompt", "a")).ExpectRefusal(2, "/no/such");
        Cli.RunProcess(Cli.Command("generate", "--model", Repository.Odd, "--prompt", "a", "--backend", "sim"))
            .ExpectRefusal(2, "head_dim_qk is 8");
        Cli.RunProcess(Cli.Command("generate", "--model", Repository.Orders, "--prompt", "a", "--backend", "sim", "--device", "9"))
            .ExpectRefusal(3, "device is 9");
    }
}
