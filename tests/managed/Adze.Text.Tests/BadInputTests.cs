using System.Text;
using System.Text.RegularExpressions;

namespace Adze.Text.Tests;

/// <summary>Each way in which a tokenizer.json can be wrong gives one line that says where and why.</summary>
public partial class BadInputTests
{
    private const string Model = "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"]}";

    public static TheoryData<string, string> Broken() => new()
    {
        { "", "not JSON: " },
        { "{", "not JSON: " },
        { "[]", "expected an object, found an array" },
        { "null", "expected an object, found null" },
        { "{} x", "not JSON: " },
        { "{" + Model + ",}", "not JSON: " },
        { "{}", "\"model\" is missing" },
        { "{\"models\":1}", "\"models\" is not supported" },
        { "{\"model\":null}", "\"model\" is missing" },
        { "{\"model\":7}", "model: expected an object, found a number" },
        { With("\"version\":\"2.0\""), "version: version \"2.0\" is not supported" },
        { With("\"truncation\":{}"), "truncation: not supported, must be null" },
        { With("\"padding\":{}"), "padding: not supported, must be null" },

        { ModelOf("\"type\":\"Unigram\""), "model.type: the model \"Unigram\" is not supported, only \"BPE\" is" },
        { ModelOf("\"type\":\"WordPiece\""), "model.type: the model \"WordPiece\" is not supported, only \"BPE\" is" },
        { "{\"model\":{\"merges\":[]}}", "model: \"vocab\" is missing" },
        { "{\"model\":{\"vocab\":{\"a\":0}}}", "model: \"merges\" is missing" },
        { "{\"model\":{\"vocab\":{},\"merges\":[]}}", "model.vocab: the vocabulary is empty" },
        { "{\"model\":{\"vocab\":[[\"a\",0]],\"merges\":[]}}", "model.vocab: expected an object, found an array" },
        { Vocab("\"a\":0,\"a\":1"), "model.vocab[\"a\"]: the token is given twice" },
        { Vocab("\"a\":0,\"b\":0"), "model.vocab[\"b\"]: the id 0 belongs to \"a\" already" },
        { Vocab("\"a\":-1"), "model.vocab[\"a\"]: expected a whole number from 0 to 4194303, found -1" },
        { Vocab("\"a\":2000000000"), "model.vocab[\"a\"]: expected a whole number from 0 to 4194303, found 2000000000" },
        { Vocab("\"a\":1e99"), "model.vocab[\"a\"]: expected a whole number from 0 to 4194303, found 1e99" },
        { Vocab("\"a\":0.5"), "model.vocab[\"a\"]: expected a whole number from 0 to 4194303, found 0.5" },
        { Vocab("\"a\\n\\u2028b\":\"0\""), "model.vocab[\"a\\u{A}\\u{2028}b\"]: expected a number, found a string" },
        { Vocab("\"\\ud800\":0"), "model.vocab: half of a surrogate pair in a name" },
        { ModelOf("\"dropout\":0.1"), "model.dropout: not supported, must be null" },
        { ModelOf("\"continuing_subword_prefix\":\"##\""), "model.continuing_subword_prefix: \"##\" is not supported, must be null or empty" },
        { ModelOf("\"end_of_word_suffix\":\"</w>\""), "model.end_of_word_suffix: \"</w>\" is not supported, must be null or empty" },
        { ModelOf("\"unk_token\":\"u\""), "model.unk_token: \"u\" is not in the vocabulary" },
        { ModelOf("\"ignore_merges\":1"), "model.ignore_merges: expected true or false, found a number" },
        { ModelOf("\"max_length\":1"), "model: \"max_length\" is not supported" },
        { Merges("\"a b\""), "model.merges: expected an array, found a string" },
        { Merges("[\"ab\"]"), "model.merges[0]: a merge has two parts with one space between" },
        { Merges("[\"a b\",\"a b \"]"), "model.merges[1]: a merge has two parts with one space between" },
        { Merges("[[\"a\"]]"), "model.merges[0]: a merge has two parts" },
        { Merges("[[\"a\",1]]"), "model.merges[0]: expected a string, found a number" },
        { Merges("[7]"), "model.merges[0]: expected a string, found a number" },
        { Merges("[\"a c\"]"), "model.merges[0]: the token \"c\" is not in the vocabulary" },
        { Merges("[\"a b\",\"b a\"]"), "model.merges[1]: the token \"ba\" is not in the vocabulary" },
        { Merges("[\"\\udc00 a\"]"), "model.merges[0]: half of a surrogate pair in a string" },

        { Added("{\"id\":3}"), "added_tokens[0]: \"content\" is missing" },
        { Added("{\"content\":\"x\"}"), "added_tokens[0]: \"id\" is missing" },
        { Added("{\"id\":3,\"content\":\"\"}"), "added_tokens[0].content: an added token cannot be empty" },
        { Added("{\"id\":99999999999,\"content\":\"x\"}"), "added_tokens[0].id: expected a whole number from 0 to 4194303, found 99999999999" },
        { Added("{\"id\":1,\"content\":\"x\"}"), "added_tokens[0]: the id 1 belongs to \"b\" already" },
        { Added("{\"id\":3,\"content\":\"a\"}"), "added_tokens[0]: \"a\" has the id 3 here and 0 before" },
        { Added("{\"id\":3,\"content\":\"x\"},{\"id\":3,\"content\":\"y\"}"), "added_tokens[1]: the id 3 is given twice" },
        { Added("{\"id\":3,\"content\":\"x\"},{\"id\":4,\"content\":\"x\"}"), "added_tokens[1]: \"x\" has the id 4 here and 3 before" },
        { Added("{\"id\":3,\"content\":\"x\",\"rank\":1}"), "added_tokens[0]: \"rank\" is not supported" },
        { With("\"added_tokens\":{}"), "added_tokens: expected an array, found an object" },

        { With("\"normalizer\":{}"), "normalizer: \"type\" is missing" },
        { With("\"normalizer\":{\"type\":\"BertNormalizer\"}"), "normalizer: the normalizer \"BertNormalizer\" is not supported" },
        { With("\"normalizer\":{\"type\":\"NFC\",\"x\":1}"), "normalizer: \"x\" is not supported" },
        { With("\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Nmt\"}]}"), "normalizer.normalizers[0]: the normalizer \"Nmt\" is not supported" },
        { With("\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[null]}"), "normalizer.normalizers[0]: expected an object, found null" },
        { With("\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\" {2,}\"},\"content\":\"\"}"), "normalizer.pattern.Regex: the regular expression \" {2,}\" is not supported: only plain text is" },
        { With("\"normalizer\":{\"type\":\"Prepend\"}"), "normalizer: \"prepend\" is missing" },

        { With("\"pre_tokenizer\":{\"type\":\"Whitespace\"}"), "pre_tokenizer: the pre-tokenizer \"Whitespace\" is not supported" },
        { With("\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\w+\"},\"behavior\":\"Isolated\"}"), "pre_tokenizer.pattern.Regex: the regular expression \"\\w+\" is none of those supported" },
        { With("\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\"x\"},\"behavior\":\"isolated\"}"), "pre_tokenizer.behavior: the behavior \"isolated\" is not known" },
        { With("\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":\"x\",\"behavior\":\"Isolated\"}"), "pre_tokenizer.pattern: expected an object, found a string" },
        { With("\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"ByteLevel\"},{\"type\":\"Digits\"}]}"), "pre_tokenizer.pretokenizers[1]: \"Digits\" after \"ByteLevel\" is not supported" },
        { With("\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"ab\"}"), "pre_tokenizer.replacement: expected one character, found \"ab\"" },
        { With("\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"last\"}"), "pre_tokenizer.prepend_scheme: \"last\" is none of \"always\", \"first\", \"never\"" },
        { With("\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"first\",\"add_prefix_space\":false}"), "pre_tokenizer: \"add_prefix_space\" and \"prepend_scheme\" contradict each other" },

        { With("\"post_processor\":{\"type\":\"RobertaProcessing\"}"), "post_processor: the post-processor \"RobertaProcessing\" is not supported" },
        { With("\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[]}"), "post_processor.single: the sequence \"A\" is missing" },
        { Template("{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}", ""), "post_processor.single[0].SpecialToken.id: \"<s>\" is not among \"special_tokens\"" },
        { Template("{\"Sequence\":{\"id\":\"B\",\"type_id\":0}}", ""), "post_processor.single[0].Sequence.id: the template for one text must hold the sequence \"A\" once, and no other" },
        { Template("{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}", ""), "post_processor.single[1].Sequence.id: the template for one text must hold the sequence \"A\" once, and no other" },
        { Template("{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}", "\"<s>\":{\"id\":\"<s>\",\"ids\":[9],\"tokens\":[\"<s>\"]}"), "post_processor.special_tokens[\"<s>\"].ids[0]: 9 is not the id of a token" },

        { With("\"post_processor\":{\"type\":\"Sequence\",\"processors\":[null]}"), "post_processor.processors[0]: expected an object, found null" },
        { With("\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[null]}"), "pre_tokenizer.pretokenizers[0]: expected an object, found null" },
        { Decoders("null"), "decoder.decoders[0]: expected an object, found null" },
        { With("\"decoder\":{\"type\":\"WordPiece\"}"), "decoder: the decoder \"WordPiece\" is not supported" },
        { With("\"decoder\":{\"type\":\"BPEDecoder\",\"suffix\":\"</w>\"}"), "decoder: the decoder \"BPEDecoder\" is not supported" },
        { Decoders("{\"type\":\"Fuse\"},{\"type\":\"ByteFallback\"}"), "decoder.decoders[1]: the decoder \"ByteFallback\" is not supported after those before it" },
        { Decoders("{\"type\":\"ByteFallback\"},{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"b\"}"), "decoder.decoders[1]: the decoder \"Replace\" is not supported after those before it" },
        { Decoders("{\"type\":\"Fuse\"},{\"type\":\"Strip\",\"content\":\" \",\"start\":0,\"stop\":1}"), "decoder.decoders[1].stop: stripping at the end of the text is not supported" },
        { Decoders("{\"type\":\"Strip\",\"content\":\"ab\",\"start\":0,\"stop\":1}"), "decoder.decoders[0].content: expected one character, found \"ab\"" },
    };

    [Theory]
    [MemberData(nameof(Broken))]
    public void SaysWhatIsWrongInOneLine(string json, string reason)
    {
        TokenizerException e = Assert.Throws<TokenizerException>(() => Build.Parse(json));
        Assert.StartsWith("tokenizer.json: " + reason, e.Message, StringComparison.Ordinal);
        Assert.True(reason.EndsWith(' ') || e.Message.Length == "tokenizer.json: ".Length + reason.Length, e.Message);
        Assert.DoesNotMatch(LineBreak(), e.Message);
    }

    [Fact]
    public void DeepNestingIsRefused()
    {
        string deep = string.Concat(Enumerable.Repeat("{\"type\":\"Sequence\",\"normalizers\":[", 50_000));
        TokenizerException e = Assert.Throws<TokenizerException>(() => Build.Parse($"{{\"normalizer\":{deep}"));
        Assert.Contains("depth", e.Message, StringComparison.Ordinal);
        Assert.DoesNotMatch(LineBreak(), e.Message);
    }

    [Fact]
    public void BytesThatAreNotUtf8AreRefused()
    {
        byte[] json = Encoding.UTF8.GetBytes("{" + Model + "}");
        json[Array.IndexOf(json, (byte)'b')] = 0xFF;
        Assert.Equal("tokenizer.json: not UTF-8", Assert.Throws<TokenizerException>(() => Tokenizer.Parse(json)).Message);
    }

    [Fact]
    public void EveryPrefixIsRefused()
    {
        byte[] json = Encoding.UTF8.GetBytes(With("\"normalizer\":{\"type\":\"NFC\"},\"decoder\":{\"type\":\"Fuse\"}"));
        Assert.Equal(3, Tokenizer.Parse(json).VocabularySize);
        for (int length = 0; length < json.Length; length++)
            Assert.DoesNotMatch(LineBreak(), Assert.Throws<TokenizerException>(() => Tokenizer.Parse(json.AsSpan(0, length))).Message);
    }

    [Fact]
    public void LoadNamesTheFile()
    {
        string path = Path.GetTempFileName();
        File.WriteAllText(path, "{}");
        TokenizerException e = Assert.Throws<TokenizerException>(() => Tokenizer.Load(path));
        File.Delete(path);
        Assert.Equal($"{path}: \"model\" is missing", e.Message);
        Assert.Equal($"{path}: no such file", Assert.Throws<TokenizerException>(() => Tokenizer.Load(path)).Message);
        Directory.CreateDirectory(path);
        e = Assert.Throws<TokenizerException>(() => Tokenizer.Load(path));
        Directory.Delete(path);
        Assert.Equal($"{path}: is a folder, not a file", e.Message);
    }

    [Fact]
    public void ACharacterThatCannotBeExpressedIsNamed()
    {
        Tokenizer plain = Build.Parse("{" + Model + "}");
        Assert.Equal(
            "The vocabulary has no token for \"\\u{A}\", and the tokenizer has no unk_token.",
            Assert.Throws<ArgumentException>(() => plain.Encode("ab\nab")).Message);
        Tokenizer bytes = Build.Parse(With("\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false}"));
        Assert.Equal(
            "The vocabulary has no token for the byte 0xC3, and the tokenizer has no unk_token.",
            Assert.Throws<ArgumentException>(() => bytes.Encode("abé")).Message);
        Assert.Equal([2], plain.Encode("ab")); // and the tokenizer goes on working
    }

    [GeneratedRegex("[\r\n\u0085\u2028\u2029]")]
    private static partial Regex LineBreak();

    private static string With(string part) => "{" + part + "," + Model + "}";

    private static string ModelOf(string part) => "{\"model\":{" + part + ",\"vocab\":{\"a\":0},\"merges\":[]}}";

    private static string Vocab(string entries) => "{\"model\":{\"vocab\":{" + entries + "},\"merges\":[]}}";

    private static string Merges(string merges) => "{\"model\":{\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":" + merges + "}}";

    private static string Added(string tokens) => With("\"added_tokens\":[" + tokens + "]");

    private static string Decoders(string decoders) => With("\"decoder\":{\"type\":\"Sequence\",\"decoders\":[" + decoders + "]}");

    private static string Template(string single, string specials) => With(
        "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[" + single + "],\"pair\":[],\"special_tokens\":{" + specials + "}}");
}
