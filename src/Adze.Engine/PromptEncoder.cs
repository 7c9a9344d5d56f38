using System.Text.Json;
using Adze.Models;
using Adze.Text;

namespace Adze.Engine;

/// <summary>
/// Text to prompt ids. The special tokens around a text are what tokenizer.json's post-processor says; where it has
/// none, the text begins with the model's beginning token, if generation_config.json or config.json name one.
/// </summary>
internal sealed class PromptEncoder
{
    private readonly Tokenizer _tokenizer;
    private readonly int? _begin;

    public PromptEncoder(Tokenizer tokenizer, string directory, ModelConfig config)
    {
        _tokenizer = tokenizer;
        if (config.BosTokenId is { } begin && !HasPostProcessor(Path.Combine(directory, "tokenizer.json")))
            _begin = begin;
    }

    public int[] Encode(string text)
    {
        int[] ids = _tokenizer.Encode(text);
        return _begin is { } begin ? [begin, .. ids] : ids;
    }

    private static bool HasPostProcessor(string path)
    {
        ReadOnlySpan<byte> bytes = File.ReadAllBytes(path);
        if (bytes.StartsWith("\uFEFF"u8))
            bytes = bytes[3..];
        Utf8JsonReader json = new(bytes, new JsonReaderOptions { MaxDepth = 512 });
        while (json.Read())
        {
            if (json.CurrentDepth != 1 || json.TokenType != JsonTokenType.PropertyName)
                continue;
            bool found = json.ValueTextEquals("post_processor"u8);
            json.Read();
            if (found)
                return json.TokenType != JsonTokenType.Null;
            json.Skip();
        }
        return false;
    }
}
