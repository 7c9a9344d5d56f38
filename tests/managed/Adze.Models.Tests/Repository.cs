using System.Runtime.CompilerServices;

namespace Adze.Models.Tests;

/// <summary>Where the sources of these tests, and thus the references, lie.</summary>
internal static class Repository
{
    public static string Path(params string[] parts) =>
        System.IO.Path.GetFullPath(System.IO.Path.Combine([ThisFile(), "..", "..", "..", "..", .. parts]));

    private static string ThisFile([CallerFilePath] string path = "") => path;
}
