using System.CommandLine;
using System.CommandLine.Parsing;
using Adze.Engine;
using Adze.Models;
using Adze.Native;
using Adze.Text;

namespace Adze.Cli;

/// <summary>What the program returns.</summary>
internal static class ExitCode
{
    public const int Ok = 0;
    public const int VerdictFailed = 1;
    public const int Usage = 2;
    public const int DeviceFailed = 3;
    public const int Cancelled = 130; // as a shell reports SIGINT
}

/// <summary>The command <c>adze</c>: parses, runs, and turns every failure into one line and an exit code.</summary>
internal static class CliApp
{
    public static async Task<int> RunAsync(
        string[] args, CliConsole console, CancellationToken cancellationToken = default)
    {
        try
        {
            int code = await InvokeAsync(args, console, cancellationToken).ConfigureAwait(false);
            await console.Out.FlushAsync(CancellationToken.None).ConfigureAwait(false);
            return code;
        }
        catch (Exception exception)
        {
            return Fail(exception, console);
        }
    }

    private static RootCommand CreateRoot(CliConsole console) => new("""
        Adze: kernels for large-language-model inference, and the models that are made of them.

        Results go to standard output, all else to standard error. Exit codes: 0 ok, 1 a verdict failed, 2 wrong usage
        or unusable input, 3 the device is not there or failed, 130 cancelled.
        """)
    {
        DemoCommand.Create(console),
        GenerateCommand.Create(console),
        ValidateCommand.Create(console),
        BenchCommand.Create(console),
        TuneCommand.Create(console),
        InfoCommand.Create(console),
    };

    private static async Task<int> InvokeAsync(string[] args, CliConsole console, CancellationToken cancellationToken)
    {
        RootCommand root = CreateRoot(console);
        // A prompt may begin with @, which is no file of arguments.
        ParserConfiguration parsing = new() { ResponseFileTokenReplacer = null, EnablePosixBundling = false };
        InvocationConfiguration invocation = new()
        {
            Output = console.Out,
            Error = console.Error,
            EnableDefaultExceptionHandler = false,
        };
        ParseResult result = root.Parse(args, parsing);
        if (result.Errors.Count == 0)
            return await result.InvokeAsync(invocation, cancellationToken).ConfigureAwait(false);

        console.WriteError(result.UnmatchedTokens is [{ } unknown, ..]
            ? $"'{unknown}' is not a command or an option here"
            : result.Errors[0].Message);
        string[] help = [.. PathOf(result.CommandResult), "--help"];
        invocation.Output = console.Error;
        CliConsole.TryWrite(() => root.Parse(help, parsing).Invoke(invocation));
        return ExitCode.Usage;
    }

    private static IEnumerable<string> PathOf(CommandResult result) =>
        result.Parent is CommandResult parent ? [.. PathOf(parent), result.Command.Name] : [];

    private static int Fail(Exception exception, CliConsole console)
    {
        CliConsole.TryWrite(console.Out.Flush); // what was written so far still counts
        if (exception is OperationCanceledException)
            return ExitCode.Cancelled;
        (int code, string message) = Explain(exception);
        console.WriteError(message);
        return code;
    }

    private static (int Code, string Message) Explain(Exception exception) => exception switch
    {
        AdzeException { Status: AdzeStatus.InvalidArgument or AdzeStatus.NotSupported } =>
            (ExitCode.Usage, exception.Message),
        AdzeException => (ExitCode.DeviceFailed, exception.Message),
        ModelFormatException or TokenizerException or GenerationException or IOException or UnauthorizedAccessException
            or ArgumentException => (ExitCode.Usage, exception.Message),
        BenchFailedException => (ExitCode.DeviceFailed, exception.Message),
        OutOfMemoryException => (ExitCode.DeviceFailed, "the machine's memory does not suffice"),
        DllNotFoundException or BadImageFormatException or EntryPointNotFoundException =>
            (ExitCode.DeviceFailed, $"the native library cannot be used: {exception.Message}"),
        TypeInitializationException { InnerException: { } inner } => Explain(inner),
        _ => (ExitCode.DeviceFailed, $"internal error: {exception.GetType().Name}: {exception.Message}"),
    };
}
