using System.Text;
using System.Text.Json;
using System.Text.Unicode;

namespace Adze.Text;

/// <summary>Reads a tokenizer.json and hands its parts to those who understand them.</summary>
internal static class TokenizerJson
{
    /// <param name="json">The content.</param>
    /// <param name="name">What messages call it.</param>
    public static Tokenizer Parse(ReadOnlySpan<byte> json, string name)
    {
        try
        {
            if (json.StartsWith(Encoding.UTF8.Preamble))
                json = json[Encoding.UTF8.Preamble.Length..];
            if (!Utf8.IsValid(json))
                throw new TokenizerException("not UTF-8");
            var reader = new Utf8JsonReader(json);
            using JsonDocument document = JsonDocument.ParseValue(ref reader);
            reader.Read(); // throws where something follows
            return new Tokenizer(Read(JsonPart.Root(document.RootElement)));
        }
        catch (JsonException e)
        {
            throw new TokenizerException($"{name}: not JSON: {Quoting.Escape(e.Message)}", e);
        }
        catch (TokenizerException e)
        {
            throw new TokenizerException($"{name}: {e.Message}", e.InnerException);
        }
    }

    private static TokenizerParts Read(JsonPart root)
    {
        root.Only("version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder",
            "model");
        RefuseUnlessNull(root["truncation"]);
        RefuseUnlessNull(root["padding"]);
        JsonPart version = root["version"];
        if (!version.IsNull && version.String() != "1.0")
            throw version.Refuse($"version {Quoting.Quote(version.String())} is not supported");

        Vocabulary vocabulary = ModelJson.ReadVocabulary(root.Required("model"));
        // The model is read before added tokens join the vocabulary: they take no part in merging.
        Bpe model = ModelJson.ReadModel(root["model"], vocabulary);
        List<AddedToken> added = ReadAddedTokens(root["added_tokens"], vocabulary);
        return new TokenizerParts(
            vocabulary, added, Normalizer.Parse(root["normalizer"]), PreTokenizerJson.Parse(root["pre_tokenizer"], model),
            PostProcessor.Parse(root["post_processor"], vocabulary), DecoderPlan.Parse(root["decoder"]));
    }

    private static void RefuseUnlessNull(JsonPart part)
    {
        if (!part.IsNull)
            throw part.Refuse("not supported, must be null");
    }

    private static List<AddedToken> ReadAddedTokens(JsonPart json, Vocabulary vocabulary)
    {
        var tokens = new List<AddedToken>();
        var seen = new HashSet<int>();
        if (json.IsNull)
            return tokens;
        foreach (JsonPart item in json.Items())
        {
            AddedToken token = AddedToken.Parse(item);
            byte[] content = Encoding.UTF8.GetBytes(token.Content);
            if (!seen.Add(token.Id))
                throw item.Refuse($"the id {token.Id} is given twice");
            if (vocabulary.TryGet(content, out int id) && id != token.Id)
                throw item.Refuse($"{Quoting.Quote(token.Content)} has the id {token.Id} here and {id} before");
            if (id < 0 && vocabulary.Contains(token.Id))
                throw item.Refuse(
                    $"the id {token.Id} belongs to {Quoting.Quote(Encoding.UTF8.GetString(vocabulary[token.Id]))} already");
            if (id < 0)
                vocabulary.Add(content, token.Id, added: true);
            tokens.Add(token);
        }

        return tokens;
    }
}
