using System.Buffers;
using System.Text;
using FsCheck;
using FsCheck.Fluent;

namespace Adze.Text.Tests;

public class TokenizerTests
{
    [Fact]
    public void EveryTextComesBack()
    {
        Tokenizer bytes = Build.ByteLevel("[\"a b\"]");
        Tokenizer llama = Build.LlamaStyle();
        Check.One(Config.QuickThrowOnFailure.WithMaxTest(500), Prop.ForAll(
            AnyText().ToArbitrary(),
            text => bytes.Decode(bytes.Encode(text)) == text && llama.Decode(llama.Encode(text)) == text));
    }

    [Fact]
    public void HalfASurrogatePairIsAReplacementCharacter()
    {
        Tokenizer tokenizer = Build.ByteLevel();
        Assert.Equal("a\uFFFDb\uFFFD", tokenizer.Decode(tokenizer.Encode("a\ud83db\ude00")));
    }

    [Fact]
    public void OverloadsAgree()
    {
        Tokenizer tokenizer = Build.LlamaStyle();
        int[] ids = tokenizer.Encode("a a é");
        var list = new List<int> { 7 };
        tokenizer.Encode("a a é", list);
        var writer = new ArrayBufferWriter<int>();
        tokenizer.Encode("a a é", writer);
        Assert.NotEmpty(ids);
        Assert.Equal([7, .. ids], list);
        Assert.Equal(ids, writer.WrittenSpan.ToArray());
    }

    [Fact]
    public void TokensHaveNamesAndBytes()
    {
        Tokenizer tokenizer = Build.LlamaStyle();
        Assert.Equal(502, tokenizer.VocabularySize);
        Assert.Equal(3 + 10, tokenizer.TokenToId("<0x0A>"));
        Assert.Equal("<0x0A>", tokenizer.IdToToken(13));
        Assert.Equal("\n"u8.ToArray(), tokenizer.TokenBytes(13).ToArray());
        Assert.Equal(" a"u8.ToArray(), tokenizer.TokenBytes(tokenizer.TokenToId("▁a")!.Value).ToArray());
        Assert.Equal(500, tokenizer.TokenToId("[é]"));
        Assert.Equal("[é]"u8.ToArray(), tokenizer.TokenBytes(500).ToArray());
        Assert.Null(tokenizer.TokenToId("nothing"));
        foreach (int none in new[] { -1, 400, 502, int.MaxValue, int.MinValue })
        {
            Assert.Null(tokenizer.IdToToken(none));
            Assert.True(tokenizer.TokenBytes(none).IsEmpty);
            Assert.False(tokenizer.IsSpecial(none));
        }

        Assert.True(tokenizer.IsSpecial(1));
        Assert.False(tokenizer.IsSpecial(2));
        Assert.False(tokenizer.IsSpecial(500));
        Assert.True(tokenizer.IsSpecial(501));
    }

    [Fact]
    public void AddedTokensAreTextAsItStands()
    {
        Tokenizer tokenizer = Build.ByteLevel();
        Assert.Equal([401], tokenizer.Encode("[ilÖveyou ▁]"));
        Assert.Equal("[ilÖveyou ▁]", tokenizer.Decode([401]));
        Assert.Equal("a<|end|>", tokenizer.Decode(tokenizer.Encode("a<|end|>")));
        Assert.Equal("a", tokenizer.Decode(tokenizer.Encode("a<|end|>"), skipSpecialTokens: true));
    }

    /// <summary>No golden: the reference itself picks one by the order of a hash map, another in each run.</summary>
    [Fact]
    public void OfTokensThatLookTheSameTheSpecialOneIsFoundThenTheFirst()
    {
        Tokenizer tokenizer = Build.Parse("""
            {"normalizer":{"type":"Lowercase"},
             "added_tokens":[{"id":1,"content":"THE","normalized":true},{"id":2,"content":"The","normalized":true,"special":true},
               {"id":3,"content":"OF","normalized":true},{"id":4,"content":"Of","normalized":true}],
             "model":{"type":"BPE","vocab":{"a":0},"merges":[]}}
            """);
        Assert.Equal([2, 0, 3], tokenizer.Encode("theaoF"));
    }

    [Fact]
    public void IdsThatTheVocabularyLacksAddNothing()
    {
        Tokenizer tokenizer = Build.ByteLevel();
        Assert.Equal("ab", tokenizer.Decode(['a', 300, 'b', 402, int.MaxValue]));
        Assert.Throws<ArgumentOutOfRangeException>(() => tokenizer.Decode([-1]));
    }

    [Fact]
    public void ThePostProcessorNamesTheSpecialTokens()
    {
        Tokenizer tokenizer = Build.Parse("""
            {"added_tokens":[{"id":1,"content":"<o>","special":true},{"id":2,"content":"<a>","special":true}],
             "post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<o>","type_id":0}},
               {"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"<a>","type_id":0}}],"pair":[],
               "special_tokens":{"<o>":{"id":"<o>","ids":[1],"tokens":["<o>"]},"<a>":{"id":"<a>","ids":[2],"tokens":["<a>"]}}},
             "model":{"type":"BPE","vocab":{"a":0},"merges":[]}}
            """);
        Assert.Equal([1], tokenizer.PrefixTokens.ToArray());
        Assert.Equal([2], tokenizer.SuffixTokens.ToArray());
        Assert.Equal([1, 0, 2], tokenizer.Encode("a"));
        Assert.Equal([0], tokenizer.Encode("a", addSpecialTokens: false));
        Assert.Equal([1, 1, 0, 2], tokenizer.Encode("<o>a"));
    }

    [Fact]
    public void AByteOrderMarkIsSkipped() =>
        Assert.Equal(1, Tokenizer.Parse([0xEF, 0xBB, 0xBF, .. """{"model":{"vocab":{"a":0},"merges":[]}}"""u8]).VocabularySize);

    [Fact]
    public async Task ThreadsDoNotDisturbEachOther()
    {
        Tokenizer tokenizer = Golden.Tokenizer(Golden.Read("gpt2"));
        (string Text, int[] Ids)[] cases = [.. Golden.Cases(Golden.Read("gpt2"))];
        await Parallel.ForEachAsync(Enumerable.Range(0, 8), (_, _) =>
        {
            foreach ((string text, int[] ids) in cases)
                Assert.Equal(ids, tokenizer.Encode(text));
            return ValueTask.CompletedTask;
        });
    }

    [Fact]
    public void TheCultureDoesNotMatter()
    {
        // Lower-casing and comparing go by ordinals: İ is two characters in lower case, K (the Kelvin sign) is k.
        Tokenizer tokenizer = Build.Parse("""
            {"normalizer":{"type":"Lowercase"},"model":{"vocab":{"i":0,"\u0307":1,"k":2,"ß":3,"I":4},"merges":[]}}
            """);
        Assert.Equal([0, 1, 2, 3, 0], tokenizer.Encode("İ\u212AẞI"));
    }

    /// <summary>Text of runes from everywhere, with what tokenizers treat specially among them.</summary>
    private static Gen<string> AnyText()
    {
        Gen<string> rune = Gen.OneOf(
            Gen.Choose(0, 0x7F), Gen.Choose(0x80, 0xD7FF), Gen.Choose(0xE000, 0xFFFF), Gen.Choose(0x10000, 0x10FFFF))
            .Where(point => point != 0x2581) // ▁ is a space to Llama 2
            .Select(point => new Rune(point).ToString());
        Gen<string> special = Gen.Elements(" ", "  ", "\n", "'s", "a", "b", "ab", "é", "<|end|>", "123");
        return Gen.ListOf(Gen.OneOf(rune, special)).Select(parts => string.Concat(parts));
    }
}
