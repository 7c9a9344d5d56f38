using System.Text;
using System.Text.Json;

namespace Adze.Text.Tests;

/// <summary>Reads the goldens that tests/reference/text makes with other tokenizers.</summary>
internal static class Golden
{
    public static JsonElement Read(string name)
    {
        string path = Path.Combine(AppContext.BaseDirectory, "golden", name + ".json");
        using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(path));
        return document.RootElement.Clone();
    }

    public static Tokenizer Tokenizer(JsonElement golden) =>
        Adze.Text.Tokenizer.Parse(Encoding.UTF8.GetBytes(golden.GetProperty("tokenizer").GetRawText()));

    public static int[] Ints(JsonElement array) => [.. array.EnumerateArray().Select(item => item.GetInt32())];

    public static IEnumerable<(string Text, int[] Ids)> Cases(JsonElement golden) =>
        golden.GetProperty("cases").EnumerateArray()
            .Select(item => (item.GetProperty("text").GetString()!, Ints(item.GetProperty("ids"))));

    /// <summary>Code points written as [first, count, first, count, ...].</summary>
    public static IEnumerable<int> CodePoints(JsonElement ranges)
    {
        int[] pairs = Ints(ranges);
        for (int i = 0; i < pairs.Length; i += 2)
            for (int j = 0; j < pairs[i + 1]; j++)
                yield return pairs[i] + j;
    }

    /// <summary>Fails with the list of what differed, so that one run shows all.</summary>
    public static void AssertNone(IReadOnlyCollection<string> failures, int of)
    {
        Assert.True(of > 0, "nothing was compared");
        Assert.True(
            failures.Count == 0,
            $"{failures.Count} of {of} differ:\n{string.Join('\n', failures.Take(20))}");
    }

    public static string Show(string text) => JsonSerializer.Serialize(text);

    public static string Show(IEnumerable<int> ids) => "[" + string.Join(",", ids) + "]";
}
