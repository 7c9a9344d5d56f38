using System.Text.Json;

namespace Adze.Text.Tests;

/// <summary>The parts of a tokenizer.json one by one, against Hugging Face's tokenizers.</summary>
public class ComponentTests
{
    private static readonly JsonElement s_golden = Golden.Read("components");

    public static TheoryData<string> Names() =>
        new(s_golden.EnumerateArray().Select(item => item.GetProperty("name").GetString()!));

    public static TheoryData<string> DecodedNames() => new(s_golden.EnumerateArray()
        .Where(item => item.GetProperty("decode").GetArrayLength() > 0).Select(item => item.GetProperty("name").GetString()!));

    [Theory]
    [MemberData(nameof(Names))]
    public void EncodesLikeTheReference(string name)
    {
        JsonElement golden = Find(name);
        Tokenizer tokenizer = Golden.Tokenizer(golden);
        var failures = new List<string>();
        foreach (JsonElement item in golden.GetProperty("encode").EnumerateArray())
        {
            string text = item.GetProperty("text").GetString()!;
            bool special = item.GetProperty("special").GetBoolean();
            int[] expected = Golden.Ints(item.GetProperty("ids"));
            int[] ours = tokenizer.Encode(text, special);
            if (!ours.SequenceEqual(expected))
                failures.Add($"{Golden.Show(text)}, {special}: {Golden.Show(ours)}, not {Golden.Show(expected)}");
        }

        Assert.True(failures.Count == 0, string.Join('\n', failures));
    }

    [Theory]
    [MemberData(nameof(DecodedNames))]
    public void DecodesLikeTheReference(string name)
    {
        JsonElement golden = Find(name);
        Tokenizer tokenizer = Golden.Tokenizer(golden);
        var failures = new List<string>();
        foreach (JsonElement item in golden.GetProperty("decode").EnumerateArray())
        {
            int[] ids = Golden.Ints(item.GetProperty("ids"));
            bool skip = item.GetProperty("skip").GetBoolean();
            string expected = item.GetProperty("text").GetString()!;
            string ours = tokenizer.Decode(ids, skip);
            if (ours != expected)
                failures.Add($"{Golden.Show(ids)}, {skip}: {Golden.Show(ours)}, not {Golden.Show(expected)}");
        }

        Golden.AssertNone(failures, golden.GetProperty("decode").GetArrayLength());
    }

    private static JsonElement Find(string name) =>
        s_golden.EnumerateArray().Single(item => item.GetProperty("name").GetString() == name);
}
