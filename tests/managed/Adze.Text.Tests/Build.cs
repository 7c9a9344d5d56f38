using System.Text;
using System.Text.Json;

namespace Adze.Text.Tests;

/// <summary>Small tokenizers for tests that no reference is needed for.</summary>
internal static class Build
{
    private const string LlamaParts =
        """
        "normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},
          {"type":"Replace","pattern":{"String":" "},"content":"▁"}]},
        "decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},
          {"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]},
        "added_tokens":[{"id":0,"content":"<unk>","special":true},{"id":1,"content":"<s>","special":true},
          {"id":500,"content":"[é]","normalized":false},{"id":501,"content":"[ ]","special":true}],
        """;

    public static Tokenizer Parse(string json) => Tokenizer.Parse(Encoding.UTF8.GetBytes(json));

    /// <summary>Llama 2's parts over all bytes and a few words.</summary>
    public static Tokenizer LlamaStyle()
    {
        var vocab = new List<string> { "<unk>", "<s>", "</s>" };
        vocab.AddRange(Enumerable.Range(0, 256).Select(value => $"<0x{value:X2}>"));
        vocab.AddRange(["▁", "▁▁", "a", "b", "▁a", "é", "中", "😀", "▁é", "�"]);
        return Parse($$"""
            { {{LlamaParts}} "model":{"type":"BPE","unk_token":"<unk>","byte_fallback":true,"vocab":{{Vocab(vocab)}},"merges":["▁ a","▁ ▁"]} }
            """);
    }

    /// <summary>All bytes, and tokens that end in the middle of a character.</summary>
    public static Tokenizer ByteLevel(string merges = "[]", string more = "", string options = "")
    {
        var vocab = Enumerable.Range(0, 256).Select(value => ByteAlphabet.CharOf((byte)value).ToString()).ToList();
        vocab.AddRange(["ab", "âĤ", "ðŁ", "ĺĢ", "Ã©x", "Ġé"]);
        return Parse($$"""
            {"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"use_regex":true},"decoder":{"type":"ByteLevel"},
             "added_tokens":[{"id":400,"content":"<|end|>","special":true},{"id":401,"content":"[ilÖveyou ▁]"} {{more}}],
             "model":{"type":"BPE","vocab":{{Vocab(vocab)}},"merges":{{merges}} {{options}} } }
            """);
    }

    public static string Vocab(IEnumerable<string> tokens) =>
        "{" + string.Join(',', tokens.Select((token, id) => $"{JsonSerializer.Serialize(token)}:{id}")) + "}";

    public static Tokenizer Metaspace(string scheme) => Parse($$"""
        {"pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"{{scheme}}"},
         "decoder":{"type":"Metaspace","replacement":"▁","prepend_scheme":"{{scheme}}"},
         "model":{"type":"BPE","vocab":{"▁":0,"a":1,"▁a":2,"▁▁":3,"a▁b":4,"é":5,"b":6},"merges":["▁ a","▁ ▁"]} }
        """);
}
