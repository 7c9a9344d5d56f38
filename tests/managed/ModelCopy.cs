namespace Adze.Tests;

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
