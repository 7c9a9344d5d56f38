using System.Reflection;

namespace Adze.Native.Tests;

/// <summary>Where the sources and the native build are; said by the project file.</summary>
internal static class Repository
{
    public static string Root { get; } = Metadata("AdzeRoot");

    public static string Preset { get; } = Metadata("AdzePreset");

    public static string BuildFolder => Path.Combine(Root, "build", Preset);

    public static string Headers => Path.Combine(Root, "kernels", "include", "adze");

    private static string Metadata(string key) =>
        typeof(Repository).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>()
            .Single(attribute => attribute.Key == key).Value!;
}
