namespace Adze.Engine.Tests;

/// <summary>Files of the source tree.</summary>
internal static class Repository
{
    private static readonly string s_root = FindRoot();

    public static string Odd => Locate("tests/reference/odd");

    public static string OddReference => Locate("tests/reference/odd/reference.safetensors");

    public static string Mistral => Locate("tests/reference/mistral");

    public static string Orders => Locate("models/orders");

    public static string OrdersReference => Locate("tests/reference/orders.safetensors");

    private static string Locate(string path) => Path.Combine(s_root, path);

    private static string FindRoot()
    {
        DirectoryInfo? directory = new(AppContext.BaseDirectory);
        while (directory is not null && !File.Exists(Path.Combine(directory.FullName, "Directory.Packages.props")))
            directory = directory.Parent;
        return directory?.FullName ?? throw new DirectoryNotFoundException("the tests run inside the source tree");
    }
}

/// <summary>A copy of a model folder that a test may spoil.</summary>
internal sealed class ModelCopy : IDisposable
{
    public ModelCopy(string source)
    {
        System.IO.Directory.CreateDirectory(Directory);
        foreach (string file in System.IO.Directory.GetFiles(source))
            File.Copy(file, this[Path.GetFileName(file)]);
    }

    public string Directory { get; } = Path.Combine(Path.GetTempPath(), $"adze-{Guid.NewGuid():n}");

    public string this[string file] => Path.Combine(Directory, file);

    public void Edit(string file, string old, string @new)
    {
        string text = File.ReadAllText(this[file]);
        Assert.Contains(old, text, StringComparison.Ordinal);
        File.WriteAllText(this[file], text.Replace(old, @new, StringComparison.Ordinal));
    }

    public void Dispose() => System.IO.Directory.Delete(Directory, recursive: true);
}
