using System.Text.RegularExpressions;

namespace Adze.Native.Tests;

/// <summary>The C headers' text, without comments, taken apart by regular expressions.</summary>
internal static partial class Headers
{
    private static readonly string Text = Comment().Replace(
        string.Concat(Directory.GetFiles(Repository.Path("kernels/include/adze"), "*.h").Order(StringComparer.Ordinal).Select(File.ReadAllText)),
        " ");

    /// <summary>"name(type, type) type" with the C types of parameters and result.</summary>
    public static IEnumerable<(string Name, string Result, string[] Parameters)> Functions() =>
        from Match match in Function().Matches(Text)
        let list = match.Groups["parameters"].Value.Trim()
        select (match.Groups["name"].Value,
            Squeeze(match.Groups["result"].Value),
            list == "void" ? [] : list.Split(',').Select(ParameterType).ToArray());

    /// <summary>Enumerators by name.</summary>
    public static Dictionary<string, long> Enumerators() =>
        (from Match type in Enumeration().Matches(Text)
         from Match item in Enumerator().Matches(type.Value)
         select item).ToDictionary(item => item.Groups[1].Value, item => long.Parse(item.Groups[2].ValueSpan));

    /// <summary>Macros with an unsigned value.</summary>
    public static Dictionary<string, long> Constants() =>
        Macro().Matches(Text).ToDictionary(
            macro => macro.Groups[1].Value,
            macro => (long)Convert.ToUInt32(macro.Groups[2].Value, macro.Groups[2].Value.StartsWith("0x", StringComparison.Ordinal) ? 16 : 10));

    /// <summary>Fields by struct, in order.</summary>
    public static Dictionary<string, string[]> Structs() =>
        Struct().Matches(Text).ToDictionary(
            type => type.Groups[1].Value,
            type => Field().Matches(type.Groups[2].Value).Select(field => field.Groups[1].Value).ToArray());

    private static string ParameterType(string parameter) => Squeeze(ParameterName().Replace(parameter.Trim(), ""));

    private static string Squeeze(string type) =>
        Space().Replace(type.Replace("*", " *", StringComparison.Ordinal), " ").Trim();

    [GeneratedRegex(@"/\*.*?\*/", RegexOptions.Singleline)]
    private static partial Regex Comment();

    [GeneratedRegex(@"ADZE_API\s+(?<result>[\w\s*]+?)\s*\b(?<name>adze_\w+)\((?<parameters>[^)]*)\)\s*;")]
    private static partial Regex Function();

    [GeneratedRegex(@"typedef enum\b[^;]*;")]
    private static partial Regex Enumeration();

    [GeneratedRegex(@"\b(ADZE_\w+)\s*=\s*(\d+)")]
    private static partial Regex Enumerator();

    [GeneratedRegex(@"#define (ADZE_\w+) (0x[0-9a-f]+|\d+)u?$", RegexOptions.Multiline)]
    private static partial Regex Macro();

    [GeneratedRegex(@"typedef struct (adze_\w+)\s*\{([^}]*)\}")]
    private static partial Regex Struct();

    [GeneratedRegex(@"(\w+)\s*;")]
    private static partial Regex Field();

    [GeneratedRegex(@"\w+$")]
    private static partial Regex ParameterName();

    [GeneratedRegex(@"\s+")]
    private static partial Regex Space();
}
