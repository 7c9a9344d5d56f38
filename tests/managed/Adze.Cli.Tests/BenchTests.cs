using System.Text;
using System.Text.Json;
using Adze.Native;

namespace Adze.Cli.Tests;

/// <summary>bench attention over a program that says what adze_bench says.</summary>
public sealed class BenchTests : IDisposable
{
    private const string Results = """
        {"context": {"adze_device": "cuda:1", "adze_isa": "avx2", "adze": "adze 0.1.0"}, "benchmarks": [
            {"run_name": "linear/bf16/M:1", "aggregate_name": "median", "real_time": 1},
            {"run_name": "decode/bf16/page:16/stable/batch:8/context:8192/min_time:0.050/process_time/real_time",
             "aggregate_name": "mean", "real_time": 1},
            {"run_name": "decode/bf16/page:16/stable/batch:8/context:8192/min_time:0.050/process_time/real_time",
             "aggregate_name": "median", "real_time": 1234.5, "time_unit": "us", "FLOP/s": 5e9, "bytes/s": 2.25e10,
             "of_copy": 0.756, "of_fma": 0.02},
            {"run_name": "decode/int4/page:16/unified/batch:1/context:65536/x", "run_type": "iteration",
             "error_occurred": true, "error_message": "no I4 here"},
            {"run_name": "decode/int4/page:16/unified/batch:1/context:65536/x", "run_type": "iteration",
             "error_occurred": true, "error_message": "no I4 here"},
            {"run_name": "prefill/bf16/contiguous/stable/tokens:32768/x", "aggregate_name": "median",
             "real_time": 9e6, "FLOP/s": 6.5e14, "bytes/s": 1e9, "of_copy": 0.01}]}
        """;

    private readonly string _directory = Directory.CreateTempSubdirectory("adze-bench-").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public void The_table_has_rates_and_shares_of_the_ceilings()
    {
        CliResult result = Run(Fake(Results), json: false);
        Assert.Equal((0, ""), (result.Code, result.Error));
        Assert.Contains("32 query heads on 8 KV heads of 128, on cuda:1 (avx2)", result.Out, StringComparison.Ordinal);
        Assert.Matches(@"8 +8192 +bf16 +16 +stable +1\.235 +22\.5 +76 ", result.Out);
        Assert.Matches(@"1 +65536 +int4 +16 +unified +- +- +- ", result.Out);
        Assert.Matches(@"32768 +bf16 +contiguous +stable +9000\.000 +650\.000 +- ", result.Out);
        Assert.Single(result.Out.Split("not supported: no I4 here\n")[..^1]);
        Assert.All(result.Out.Split('\n'), line => Assert.InRange(line.Length, 0, 80));
    }

    [Fact]
    public void Json_holds_the_same_rows()
    {
        using JsonDocument json = JsonDocument.Parse(Run(Fake(Results), json: true).Out);
        JsonElement rows = json.RootElement.GetProperty("rows");
        Assert.Equal(3, rows.GetArrayLength());
        Assert.Equal("cuda:1", json.RootElement.GetProperty("device").GetString());
        Assert.Equal(("decode", 8, 8192), (rows[0].GetProperty("work").GetString(),
            rows[0].GetProperty("batch").GetInt32(), rows[0].GetProperty("context").GetInt32()));
        Assert.Equal(0.02, rows[0].GetProperty("share_of_fma").GetDouble());
        Assert.Equal("no I4 here", rows[1].GetProperty("refused").GetString());
        Assert.Equal((0, JsonValueKind.Null),
            (rows[2].GetProperty("page_size").GetInt32(), rows[2].GetProperty("share_of_fma").ValueKind));
    }

    [Fact]
    public void Results_of_peers_stand_beside_those_of_their_shape()
    {
        string peers = Path.Combine(_directory, "peers.json");
        File.WriteAllText(peers, """
            {"context": {"adze_device": "cuda:0", "adze_isa": "sm_90", "adze": "PyTorch 2"}, "benchmarks": [
                {"run_name": "decode/bf16/contiguous/sdpa-flash/batch:8/context:8192", "run_type": "iteration",
                 "repetitions": 1, "real_time": 2000, "bytes/s": 1e12, "of_copy": 0.25, "FLOP/s": 1e12},
                {"run_name": "decode/bf16/contiguous/flex/batch:8/context:8192", "run_type": "iteration",
                 "repetitions": 3, "real_time": 1},
                {"run_name": "prefill/bf16/contiguous/sdpa-cudnn/tokens:32768", "aggregate_name": "median",
                 "real_time": 8e6, "bytes/s": 1e9, "of_copy": 0.01, "FLOP/s": 7e14}]}
            """);
        File.WriteAllText(Path.Combine(_directory, "adze.json"), Results);
        CliResult result = Cli.Run("bench", "attention", "--results", Path.Combine(_directory, "adze.json"), peers);
        Assert.Equal((0, ""), (result.Code, result.Error));
        Assert.Contains("on cuda:1 (avx2)", result.Out, StringComparison.Ordinal);
        Assert.Matches(@"8 +8192 +bf16 +16 +stable .*\n +8 +8192 +bf16 +contiguous +sdpa-flash +2\.000 +1000\.0 +25 *\n +1 +65536", result.Out);
        Assert.Matches(@"contiguous +stable +9000\.000 .*\n.* contiguous +sdpa-cudnn +8000\.000 +700\.000 ", result.Out);
        Assert.DoesNotContain("flex", result.Out, StringComparison.Ordinal);
        Assert.All(result.Out.Split('\n'), line => Assert.InRange(line.Length, 0, 80));
        using JsonDocument json = JsonDocument.Parse(
            Cli.Run("bench", "attention", "--json", "--results", peers, Path.Combine(_directory, "adze.json")).Out);
        Assert.Equal("PyTorch 2; adze 0.1.0", json.RootElement.GetProperty("build").GetString());
        Assert.Equal("sdpa-flash", json.RootElement.GetProperty("rows")[0].GetProperty("kernel").GetString());
        Cli.Run("bench", "attention", "--results", "/no/such/file").ExpectRefusal(2, "/no/such/file");
    }

    [Fact]
    public void The_program_is_told_the_device_and_progress_is_told()
    {
        List<double> shares = [];
        byte[] output = BenchProgram.Run(
            Fake(Results), "decode", Backend.Cuda, 1, (_, share) => shares.Add(share), CancellationToken.None);
        Assert.Equal(Results, Encoding.UTF8.GetString(output));
        Assert.Equal([0.5, 1], shares);
        string[] calls = File.ReadAllLines(Path.Combine(_directory, "calls"));
        Assert.Equal("cuda:1 --benchmark_filter=decode --benchmark_list_tests", calls[0]);
        Assert.StartsWith("cuda:1 --benchmark_filter=decode --benchmark_out=", calls[1], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("", "is not understood")]
    [InlineData("{}", "is not understood")]
    [InlineData("{\"context\": {\"adze_device\": \"\", \"adze_isa\": \"\", \"adze\": \"\"}, \"benchmarks\": []}", "ran no benchmark")]
    [InlineData("{\"context\": {\"adze_device\": \"\", \"adze_isa\": \"\", \"adze\": \"\"}, \"benchmarks\": [{\"run_name\": \"decode/bf16\", \"aggregate_name\": \"median\"}]}", "is not understood")]
    public void Output_that_is_not_understood_fails(string results, string message) => Assert.Contains(message,
        Assert.Throws<BenchFailedException>(() => Run(Fake(results), json: false)).Message, StringComparison.Ordinal);

    [Fact]
    public void A_program_that_fails_is_quoted()
    {
        string program = Script("echo first >&2; echo no such device >&2; exit 7");
        Assert.EndsWith("ended with 7: no such device",
            Assert.Throws<BenchFailedException>(() => Run(program, json: false)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Cancelling_ends_the_program()
    {
        using CancellationTokenSource source = new(TimeSpan.FromMilliseconds(200));
        Assert.ThrowsAny<OperationCanceledException>(
            () => BenchProgram.Run(Script("exec sleep 600"), "x", Backend.Cpu, 0, null, source.Token));
    }

    [Fact]
    public void The_program_is_found_beside_or_in_the_checkout_else_the_command_that_builds_it_is_shown()
    {
        string inside = Directory.CreateDirectory(Path.Combine(_directory, "src", "bin")).FullName;
        Refused(Backend.Cpu, "cmake --preset cpu && cmake --build --preset cpu --target adze_bench");
        Refused(Backend.Cuda, "cmake --preset cuda && cmake --build --preset cuda --target adze_bench");
        string built = Touch("build", "cpu", "adze_bench");
        Refused(Backend.Cpu, "is not built"); // no checkout yet
        Touch("CMakePresets.json");
        Assert.Equal(built, BenchProgram.Find(inside, Backend.Cpu));
        Assert.Equal(built, BenchProgram.Find(inside, Backend.Sim));
        Refused(Backend.Cuda, "is not built");
        string beside = Touch("src", "bin", "adze_bench");
        Assert.Equal(beside, BenchProgram.Find(inside, Backend.Cuda));

        void Refused(Backend backend, string message) => Assert.Contains(message,
            Assert.Throws<FileNotFoundException>(() => BenchProgram.Find(inside, backend)).Message, StringComparison.Ordinal);
    }

    private static CliResult Run(string program, bool json)
    {
        using StringWriter output = new(), error = new();
        int code = BenchCommand.RunAttention(
            program, Backend.Cuda, 1, json, new CliConsole(output, error), CancellationToken.None);
        return new CliResult(code, output.ToString(), error.ToString());
    }

    // Lists two tests, then writes the results where it is told to.
    private string Fake(string results)
    {
        File.WriteAllText(Path.Combine(_directory, "results"), results);
        return Script($"""
            echo "$ADZE_BENCH_DEVICE $*" >> '{_directory}/calls'
            for argument; do
                case $argument in
                --benchmark_list_tests) echo one; echo two ;;
                --benchmark_out=*) cp '{_directory}/results' "$(echo "$argument" | cut -d= -f2)"
                    echo 'one_mean 1 us'; echo 'one_median 1 us'; echo 'two_median 1 us' ;;
                esac
            done
            """);
    }

    private string Script(string body)
    {
        string path = Path.Combine(_directory, "fake_bench");
        File.WriteAllText(path, $"#!/bin/sh\n{body}\n");
        System.Diagnostics.Process.Start("chmod", ["+x", path]).WaitForExit();
        return path;
    }

    private string Touch(params string[] parts)
    {
        string path = Path.Combine([_directory, .. parts]);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, "");
        return path;
    }
}
