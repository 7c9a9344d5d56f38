using System.Text.RegularExpressions;

namespace Adze.Bindings.Generator;

/// <summary>What CppSharp has no option for.</summary>
internal static partial class PostPass
{
    public static string Apply(string source)
    {
        string result = PublicKeyword().Replace(source.ReplaceLineEndings("\n"), "$1internal ");
        foreach (string needed in (ReadOnlySpan<string>)["CppSharp.Runtime", "MarshalUtil", "NativeToManagedMap", "MarshalAs"])
        {
            if (result.Contains(needed, StringComparison.Ordinal))
            {
                throw new InvalidOperationException(
                    $"the generated code uses {needed}: a header has a construct that the generator does not flatten");
            }
        }

        return result;
    }

    [GeneratedRegex("^( *)public ", RegexOptions.Multiline)]
    private static partial Regex PublicKeyword();
}
