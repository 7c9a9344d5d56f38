using System.Buffers;
using System.Text;

namespace Adze.Text;

/// <summary>Reads the "model" of a tokenizer.json.</summary>
internal static class ModelJson
{
    public static Vocabulary ReadVocabulary(JsonPart model)
    {
        JsonPart type = model["type"];
        if (!type.IsNull && type.String() != "BPE")
            throw type.Refuse($"the model {Quoting.Quote(type.String())} is not supported, only \"BPE\" is");
        JsonPart vocab = model.Required("vocab");
        var vocabulary = new Vocabulary(vocab.Count);
        foreach ((string name, JsonPart member) in vocab.Members())
        {
            int id = member.Int(Vocabulary.LargestId);
            byte[] token = Encoding.UTF8.GetBytes(name);
            if (vocabulary.TryGet(token, out _))
                throw member.Refuse("the token is given twice");
            if (vocabulary.Contains(id))
                throw member.Refuse(
                    $"the id {id} belongs to {Quoting.Quote(Encoding.UTF8.GetString(vocabulary[id]))} already");
            vocabulary.Add(token, id);
        }

        return vocabulary.Count > 0 ? vocabulary : throw vocab.Refuse("the vocabulary is empty");
    }

    public static Bpe ReadModel(JsonPart model, Vocabulary vocabulary)
    {
        model.Only("type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
            "byte_fallback", "ignore_merges", "vocab", "merges");
        if (!model["dropout"].IsNull && !model["dropout"].IsZero)
            throw model["dropout"].Refuse("not supported, must be null");
        RefuseUnlessEmpty(model["continuing_subword_prefix"]);
        RefuseUnlessEmpty(model["end_of_word_suffix"]);
        return new Bpe(vocabulary, ReadMerges(model.Required("merges"), vocabulary))
        {
            UnknownToken = ReadUnknownToken(model["unk_token"], vocabulary),
            FuseUnknown = model["fuse_unk"].Bool(false),
            ByteFallback = model["byte_fallback"].Bool(false),
            IgnoreMerges = model["ignore_merges"].Bool(false),
        };
    }

    private static void RefuseUnlessEmpty(JsonPart part)
    {
        if (!part.IsNull && part.String().Length != 0)
            throw part.Refuse($"{Quoting.Quote(part.String())} is not supported, must be null or empty");
    }

    private static int ReadUnknownToken(JsonPart part, Vocabulary vocabulary)
    {
        if (part.IsNull)
            return -1;
        return vocabulary.TryGet(part.Utf8(), out int id)
            ? id
            : throw part.Refuse($"{Quoting.Quote(part.String())} is not in the vocabulary");
    }

    private static MergeTable ReadMerges(JsonPart merges, Vocabulary vocabulary)
    {
        var table = new MergeTable(merges.IsArray ? merges.Count : 0);
        var joined = new ArrayBufferWriter<byte>(256);
        int rank = 0;
        foreach (JsonPart merge in merges.Items())
        {
            ReadPair(merge, out ReadOnlySpan<byte> left, out ReadOnlySpan<byte> right);
            joined.ResetWrittenCount();
            joined.Write(left);
            joined.Write(right);
            table.Set(
                Find(left, vocabulary, merge), Find(right, vocabulary, merge), rank++,
                Find(joined.WrittenSpan, vocabulary, merge));
        }

        return table;
    }

    /// <summary>A merge is written as "a b", or as ["a", "b"] where tokens may hold spaces.</summary>
    private static void ReadPair(JsonPart merge, out ReadOnlySpan<byte> left, out ReadOnlySpan<byte> right)
    {
        if (merge.IsArray)
        {
            if (merge.Count != 2)
                throw merge.Refuse("a merge has two parts");
            left = merge[0].Utf8();
            right = merge[1].Utf8();
            return;
        }

        ReadOnlySpan<byte> pair = merge.Utf8();
        int space = pair.IndexOf((byte)' ');
        if (space < 0 || pair[(space + 1)..].Contains((byte)' '))
            throw merge.Refuse("a merge has two parts with one space between");
        left = pair[..space];
        right = pair[(space + 1)..];
    }

    private static int Find(ReadOnlySpan<byte> token, Vocabulary vocabulary, JsonPart merge) =>
        vocabulary.TryGet(token, out int id)
            ? id
            : throw merge.Refuse($"the token {Quoting.Quote(Encoding.UTF8.GetString(token))} is not in the vocabulary");
}
