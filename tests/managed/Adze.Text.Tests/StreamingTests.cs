using System.Text;
using FsCheck;
using FsCheck.Fluent;

namespace Adze.Text.Tests;

public class StreamingTests
{
    private static readonly (string Name, Tokenizer Tokenizer)[] s_tokenizers =
    [
        ("byte level", Build.ByteLevel()),
        ("llama", Build.LlamaStyle()),
        ("metaspace always", Build.Metaspace("always")),
        ("metaspace never", Build.Metaspace("never")),
        ("no decoder", Build.Parse("""{"model":{"type":"BPE","vocab":{"a":0,"é":1},"merges":[]}}""")),
    ];

    /// <summary>Ids that make trouble: bytes of characters, in and out of order, tokens around them, ids that are none.</summary>
    private static readonly Gen<int> s_id = Gen.Frequency(
        (4, Gen.Choose(0, 520)),
        (2, Gen.Elements(0xC3, 0xA9, 0xE2, 0x82, 0xAC, 0xF0, 0x9F, 0x98, 0x80, 0xED, 0xA0, 0xFF, 0x20)),
        (2, Gen.Elements(0xC3, 0xA9, 0xE2, 0x82, 0xAC, 0xF0, 0x9F, 0x98, 0x80, 0xED, 0xA0, 0xFF, 0x20).Select(value => value + 3)),
        (1, Gen.Elements(256, 257, 258, 259, 260, 261, 400, 401, 500, 501, 1_000_000)));

    [Fact]
    public void PartsMakeUpTheWhole()
    {
        foreach ((string name, Tokenizer tokenizer) in s_tokenizers)
            foreach (bool skip in new[] { false, true })
                Check.One(Config.QuickThrowOnFailure.WithMaxTest(400).WithName(name), Prop.ForAll(
                    Gen.ArrayOf(s_id).ToArbitrary(), ids => Stream(tokenizer, ids, skip) == tokenizer.Decode(ids, skip)));
    }

    [Fact]
    public void PartsNeverEndInsideASurrogatePair()
    {
        Check.One(Config.QuickThrowOnFailure.WithMaxTest(400), Prop.ForAll(
            Gen.ArrayOf(s_id).ToArbitrary(),
            ids =>
            {
                StreamingDecoder decoder = s_tokenizers[0].Tokenizer.CreateStreamingDecoder();
                foreach (int id in ids)
                {
                    ReadOnlySpan<char> part = decoder.Append(id);
                    if (!part.IsEmpty && (char.IsHighSurrogate(part[^1]) || char.IsLowSurrogate(part[0])))
                        return false;
                }

                return true;
            }));
    }

    /// <summary>Byte-level decoding is UTF-8 decoding of all bytes together, which .NET does too.</summary>
    [Fact]
    public void ByteLevelIsUtf8OfAllBytes()
    {
        Tokenizer tokenizer = s_tokenizers[0].Tokenizer;
        Check.One(Config.QuickThrowOnFailure.WithMaxTest(1000), Prop.ForAll(
            Gen.ArrayOf(s_id).ToArbitrary(),
            ids =>
            {
                byte[] bytes = [.. ids.SelectMany(id => tokenizer.TokenBytes(id).ToArray())];
                return tokenizer.Decode(ids) == Encoding.UTF8.GetString(bytes);
            }));
    }

    /// <summary>Llama 2's decoder by the book: SentencePiece's rule for runs of bytes, then one space off the front.</summary>
    [Fact]
    public void LlamaDecodesLikeSentencePiece()
    {
        Tokenizer tokenizer = s_tokenizers[1].Tokenizer;
        Check.One(Config.QuickThrowOnFailure.WithMaxTest(1000), Prop.ForAll(
            Gen.ArrayOf(s_id).ToArbitrary(), ids => tokenizer.Decode(ids) == ByTheBook(tokenizer, ids)));
    }

    [Fact]
    public void AByteIsHeldBackUntilItsCharacterIsWhole()
    {
        StreamingDecoder decoder = s_tokenizers[0].Tokenizer.CreateStreamingDecoder();
        Assert.Equal("", decoder.Append(0xF0));
        Assert.Equal("", decoder.Append(0x9F));
        Assert.Equal("", decoder.Append(0x98));
        Assert.Equal("😀", decoder.Append(0x80));
        Assert.Equal("", decoder.Append(258)); // F0 9F
        Assert.Equal("😀", decoder.Append(259)); // 98 80
        Assert.Equal("", decoder.Append(0xE2));
        Assert.Equal("\uFFFDa", decoder.Append('a'));
        Assert.Equal("", decoder.Append(0xE2));
        Assert.Equal("\uFFFD", decoder.Flush());
        Assert.Equal("", decoder.Flush());
    }

    [Fact]
    public void FlushBeginsAnew()
    {
        Tokenizer tokenizer = s_tokenizers[1].Tokenizer;
        StreamingDecoder decoder = tokenizer.CreateStreamingDecoder();
        int word = tokenizer.TokenToId("▁a")!.Value;
        Assert.Equal("a", decoder.Append(word));
        Assert.Equal(" a", decoder.Append(word));
        Assert.Equal("", decoder.Flush());
        Assert.Equal("a", decoder.Append(word));
    }

    [Fact]
    public void AppendAllocatesNothing()
    {
        foreach ((_, Tokenizer tokenizer) in s_tokenizers)
        {
            StreamingDecoder decoder = tokenizer.CreateStreamingDecoder();
            int[] ids = [.. Enumerable.Range(0, 520), .. Enumerable.Range(0, 520)];
            foreach (int id in ids)
                decoder.Append(id);
            long before = GC.GetAllocatedBytesForCurrentThread();
            foreach (int id in ids)
                decoder.Append(id);
            Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        }
    }

    [Fact]
    public void ANegativeIdIsRefused() =>
        Assert.Throws<ArgumentOutOfRangeException>(() => s_tokenizers[0].Tokenizer.CreateStreamingDecoder().Append(-1).Length);

    private static string Stream(Tokenizer tokenizer, int[] ids, bool skip)
    {
        StreamingDecoder decoder = tokenizer.CreateStreamingDecoder(skip);
        var text = new StringBuilder();
        foreach (int id in ids)
            text.Append(decoder.Append(id));
        return text.Append(decoder.Flush()).ToString();
    }

    private static string ByTheBook(Tokenizer tokenizer, int[] ids)
    {
        var text = new StringBuilder();
        var run = new List<byte>();
        foreach (int id in ids)
        {
            string? token = tokenizer.IdToToken(id);
            if (token is null)
                continue;
            if (token.Length == 6 && token.StartsWith("<0x", StringComparison.Ordinal))
            {
                run.Add(Convert.ToByte(token[3..5], 16));
                continue;
            }

            text.Append(DecodeRun(run)).Append(token.Replace('▁', ' '));
            run.Clear();
        }

        string all = text.Append(DecodeRun(run)).ToString();
        return all.StartsWith(' ') ? all[1..] : all;
    }

    private static string DecodeRun(List<byte> run)
    {
        var text = new StringBuilder();
        for (ReadOnlySpan<byte> rest = run.ToArray(); !rest.IsEmpty;)
        {
            bool whole = Rune.DecodeFromUtf8(rest, out Rune rune, out int used) == System.Buffers.OperationStatus.Done;
            text.Append((whole ? rune : Rune.ReplacementChar).ToString());
            rest = rest[(whole ? used : 1)..];
        }

        return text.ToString();
    }
}
