using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Xunit.Abstractions;

namespace Adze.Text.Tests;

/// <summary>The whole of o200k_base, where the machine has it.</summary>
public class FullVocabularyTests(ITestOutputHelper output)
{
    [FullVocabularyFact]
    public void EncodesLikeTiktokenAndFast()
    {
        byte[] json = TokenizerJson();
        var watch = Stopwatch.StartNew();
        Tokenizer tokenizer = Tokenizer.Parse(json);
        output.WriteLine($"load: {watch.ElapsedMilliseconds} ms, {json.Length} bytes, {tokenizer.VocabularySize} ids");

        var failures = new List<string>();
        (string Text, int[] Ids)[] cases = [.. Golden.Cases(Golden.Read("o200k_base"))];
        foreach ((string text, int[] ids) in cases)
            if (!tokenizer.Encode(text).SequenceEqual(ids))
                failures.Add(Golden.Show(text));
        Golden.AssertNone(failures, cases.Length);

        string english = string.Concat(Enumerable.Repeat(cases.Single(item => item.Text.StartsWith("The quick brown fox jumps over the lazy dog. It wasn't", StringComparison.Ordinal) && !item.Text.Contains('\r')).Text + "\n\n", 1000));
        Assert.Equal(english, tokenizer.Decode(tokenizer.Encode(english)));
        watch.Restart();
        int count = tokenizer.Encode(english).Length;
        output.WriteLine($"encode: {english.Length} characters, {count} tokens, {count / watch.Elapsed.TotalSeconds:N0} tokens/s");
    }

    [FullVocabularyFact]
    public void EveryTokenIsItsBytes()
    {
        Tokenizer tokenizer = Tokenizer.Parse(TokenizerJson());
        foreach ((byte[] token, int id) in Ranks())
            Assert.True(tokenizer.TokenBytes(id).SequenceEqual(token), $"token {id}");
    }

    private static IEnumerable<(byte[] Token, int Id)> Ranks() => File.ReadLines(FullVocabularyFactAttribute.File!)
        .Select(line => line.Split(' '))
        .Select(fields => (Convert.FromBase64String(fields[0]), int.Parse(fields[1], CultureInfo.InvariantCulture)));

    /// <summary>tiktoken's ranks as a tokenizer.json: every way to put a token together is a merge, in the order of ranks.</summary>
    private static byte[] TokenizerJson()
    {
        JsonElement golden = Golden.Read("o200k_base").GetProperty("tokenizer");
        (string Token, int Id)[] ranks = [.. Ranks().OrderBy(rank => rank.Id).Select(rank => (Spell(rank.Token), rank.Id))];
        var known = new HashSet<string>(ranks.Select(rank => rank.Token));
        using var stream = new MemoryStream();
        using (var writer = new Utf8JsonWriter(stream))
        {
            writer.WriteStartObject();
            foreach (JsonProperty part in golden.EnumerateObject().Where(part => part.Name != "model"))
                part.WriteTo(writer);
            writer.WriteStartObject("model");
            foreach (JsonProperty part in golden.GetProperty("model").EnumerateObject())
                if (part.Name is not ("vocab" or "merges"))
                    part.WriteTo(writer);
            writer.WriteStartObject("vocab");
            foreach ((string token, int id) in ranks)
                writer.WriteNumber(token, id);
            writer.WriteEndObject();
            writer.WriteStartArray("merges");
            foreach ((string token, _) in ranks)
                for (int cut = 1; cut < token.Length; cut++)
                    if (known.Contains(token[..cut]) && known.Contains(token[cut..]))
                        writer.WriteStringValue($"{token[..cut]} {token[cut..]}");
            writer.WriteEndArray();
            writer.WriteEndObject();
            writer.WriteEndObject();
        }

        return stream.ToArray();
    }

    private static string Spell(byte[] token)
    {
        var spelled = new StringBuilder();
        foreach (byte value in token)
            spelled.Append(ByteAlphabet.CharOf(value));
        return spelled.ToString();
    }
}

/// <summary>Skips where o200k_base.tiktoken (3.6 MB, too large for git) is not found.</summary>
public sealed class FullVocabularyFactAttribute : FactAttribute
{
    public FullVocabularyFactAttribute()
    {
        if (File is null)
            Skip = "o200k_base.tiktoken is neither in $ADZE_TEST_DATA nor in ../shared/data beside the repository";
    }

    public static string? File { get; } = Find();

    private static string? Find()
    {
        var folders = new List<string?> { Environment.GetEnvironmentVariable("ADZE_TEST_DATA") };
        for (DirectoryInfo? up = new(AppContext.BaseDirectory); up is not null; up = up.Parent)
            folders.Add(Path.Combine(up.FullName, "shared", "data"));
        return folders.Where(folder => !string.IsNullOrEmpty(folder)).Select(folder => Path.Combine(folder!, "o200k_base.tiktoken"))
            .FirstOrDefault(System.IO.File.Exists);
    }
}
