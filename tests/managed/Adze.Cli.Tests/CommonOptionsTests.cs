using System.CommandLine;
using Adze.Engine;
using Adze.Native;

namespace Adze.Cli.Tests;

public sealed class CommonOptionsTests
{
    // Deterministic contexts are always stable: who asks for unified gets another.
    [Theory]
    [InlineData("", Softmax.Tuned, true)]
    [InlineData("--softmax auto", Softmax.Tuned, true)]
    [InlineData("--softmax stable", Softmax.Stable, true)]
    [InlineData("--softmax unified", Softmax.Unified, false)]
    public void An_engine_is_deterministic_unless_it_is_asked_for_unified(string arguments, Softmax softmax, bool deterministic)
    {
        Command command = new("any");
        CommonOptions options = new();
        options.AddTo(command);
        EngineOptions engine = options.Engine(command.Parse(arguments));
        Assert.Equal((softmax, deterministic), (engine.Softmax, engine.Deterministic));
    }
}
