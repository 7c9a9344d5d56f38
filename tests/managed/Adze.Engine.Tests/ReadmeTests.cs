using System.Reflection;

namespace Adze.Engine.Tests;

/// <summary>The README's examples are the files that are compiled and run here.</summary>
public sealed class ReadmeTests
{
    private const string Answer =
        """{"customer":"Mia","items":[{"name":"apple","quantity":3},{"name":"pear","quantity":2}],"delivery":"express"}""";

    [Theory]
    [InlineData("tests/examples/linear.c")]
    [InlineData("tests/examples/Generate/Program.cs")]
    public void ReadmeShowsTheExampleThatIsCompiled(string file)
    {
        string readme = File.ReadAllText(Repository.Path("README.md"));
        string example = File.ReadAllText(Repository.Path(file));
        Assert.Contains(example.TrimEnd(), readme, StringComparison.Ordinal);
    }

    [Fact]
    public void CSharpExampleAnswersTheOrderTwice()
    {
        MethodInfo main = Assembly.Load("Generate").EntryPoint!;
        TextWriter stdout = Console.Out, stderr = Console.Error;
        using StringWriter output = new();
        try
        {
            Console.SetOut(output);
            Console.SetError(TextWriter.Null);
            main.Invoke(null, [new[] { Repository.Path("models/orders") }]);
        }
        finally
        {
            Console.SetOut(stdout);
            Console.SetError(stderr);
        }
        Assert.Equal($"{Answer}{Environment.NewLine}{Answer}", output.ToString());
    }
}
