using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Adze.Native;

/// <summary>Finds libadze.so: beside the program, else where .NET looks for native assets of packages.</summary>
internal static class NativeLoader
{
    /// <summary>The library's name in every import.</summary>
    public const string LibraryName = "adze";

    [ModuleInitializer]
    [SuppressMessage("Usage", "CA2255", Justification = "The resolver has to be there before the first import.")]
    internal static void Register() =>
        NativeLibrary.SetDllImportResolver(typeof(NativeLoader).Assembly, Resolve);

    private static nint Resolve(string name, Assembly assembly, DllImportSearchPath? searchPath)
    {
        if (name != LibraryName)
        {
            return 0;
        }

        string beside = Path.Combine(AppContext.BaseDirectory, "libadze.so");
        if (File.Exists(beside))
        {
            return NativeLibrary.Load(beside);
        }

        return NativeLibrary.TryLoad(name, assembly, searchPath, out nint library)
            ? library
            : throw new DllNotFoundException(
                $"libadze.so is not in {AppContext.BaseDirectory}. A build of Adze.Native puts it there; by hand: " +
                "cmake --preset cpu && cmake --build --preset cpu, then copy build/cpu/libadze.so.");
    }
}
