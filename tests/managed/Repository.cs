using System.Runtime.CompilerServices;

namespace Adze.Tests;

/// <summary>Files of the source tree that these tests were compiled from.</summary>
internal static class Repository
{
    private static readonly string s_root = System.IO.Path.GetFullPath(System.IO.Path.Combine(ThisFile(), "..", "..", ".."));

    public static string Path(params string[] parts) => System.IO.Path.Combine([s_root, .. parts]);

    private static string ThisFile([CallerFilePath] string path = "") => path;
}
