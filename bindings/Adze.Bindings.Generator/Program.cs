using CppSharp;

namespace Adze.Bindings.Generator;

internal static class Program
{
    private const string Usage =
        "usage: dotnet run --project bindings/Adze.Bindings.Generator -p:WithCppSharp=true " +
        "[-p:CppSharpDir=DIR] [-- REPOSITORY]";

    private static int Main(string[] args)
    {
        if (args.Length > 1 || args is ["-h" or "--help"])
        {
            Console.Error.WriteLine(Usage);
            return 2;
        }

        string? root = FindRepository(args.Length == 1 ? args[0] : Directory.GetCurrentDirectory());
        if (root is null)
        {
            Console.Error.WriteLine("error: no kernels/include/adze/adze.h here or above; give the repository's folder");
            return 2;
        }

        return Generate(root);
    }

    private static int Generate(string root)
    {
        string temporary = Directory.CreateTempSubdirectory("adze-bindings-").FullName;
        try
        {
            if (!ConsoleDriver.Run(new AdzeLibrary(Path.Combine(root, "kernels", "include", "adze"), temporary)))
            {
                Console.Error.WriteLine("error: CppSharp could not read the headers");
                return 1;
            }

            string target = Path.Combine(root, "bindings", "Adze.Native", "Generated", "adze.cs");
            File.WriteAllText(target, PostPass.Apply(File.ReadAllText(Path.Combine(temporary, "adze.cs"))));
            Console.Error.WriteLine($"wrote {Path.GetRelativePath(Directory.GetCurrentDirectory(), target)}");
            return 0;
        }
        finally
        {
            Directory.Delete(temporary, recursive: true);
        }
    }

    private static string? FindRepository(string start)
    {
        for (DirectoryInfo? folder = new(start); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "kernels", "include", "adze", "adze.h")))
            {
                return folder.FullName;
            }
        }

        return null;
    }
}
