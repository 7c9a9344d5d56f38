using System.Globalization;
using System.Text;
using Adze.Cli;

// The runtime is built without cultures; this holds where somebody switches them on again.
CultureInfo.DefaultThreadCurrentCulture = CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;

UTF8Encoding utf8 = new(encoderShouldEmitUTF8Identifier: false);
using StreamWriter output = new(Console.OpenStandardOutput(), utf8);
using StreamWriter error = new(Console.OpenStandardError(), utf8) { AutoFlush = true };
CliConsole console = new(output, error)
{
    OutputIsTerminal = !Console.IsOutputRedirected,
    ErrorIsTerminal = !Console.IsErrorRedirected,
};
return await CliApp.RunAsync(args, console);
