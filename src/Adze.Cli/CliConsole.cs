using Spectre.Console;

namespace Adze.Cli;

/// <summary>Where a command writes: results to <see cref="Out"/>, all else to <see cref="Error"/>.</summary>
internal sealed class CliConsole(TextWriter output, TextWriter error)
{
    private const int RedirectedWidth = 80;

    public TextWriter Out { get; } = output;

    public TextWriter Error { get; } = error;

    public bool OutputIsTerminal { get; init; }

    public bool ErrorIsTerminal { get; init; }

    /// <summary>Writes a table to standard output: in colour on a terminal, as plain text elsewhere.</summary>
    public void Write(Table table) => Create(Out, OutputIsTerminal).Write(table);

    /// <summary>Writes a line to standard error; where that cannot be written, the exit code must do.</summary>
    public void WriteError(string message) => TryWrite(() => Error.WriteLine($"adze: {OneLine(message)}"));

    /// <summary>Writing that may fail without changing what the command does.</summary>
    public static void TryWrite(Action write)
    {
        try
        {
            write();
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
        }
    }

    /// <summary>
    /// Runs long work with a progress bar where somebody watches. The work reports phases with a share from 0 to 1.
    /// </summary>
    public T WithProgress<T>(Func<Action<string, double>?, T> work)
    {
        if (!ErrorIsTerminal)
            return work(null);
        return Create(Error, terminal: true).Progress().AutoClear(true).Start(context =>
        {
            ProgressTask? current = null;
            return work((phase, share) =>
            {
                if (current is null || current.Description != phase)
                {
                    current?.Value(1);
                    current = context.AddTask(phase, maxValue: 1);
                }
                current.Value = share;
            });
        });
    }

    private static IAnsiConsole Create(TextWriter writer, bool terminal)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = new AnsiConsoleOutput(writer),
            Ansi = terminal ? AnsiSupport.Detect : AnsiSupport.No,
            ColorSystem = terminal ? ColorSystemSupport.Detect : ColorSystemSupport.NoColors,
            Interactive = terminal ? InteractionSupport.Detect : InteractionSupport.No,
        });
        if (!terminal)
            console.Profile.Width = RedirectedWidth;
        return console;
    }

    private static string OneLine(string message) => string.Join(' ', message.Split(
        ['\r', '\n'], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries));
}
