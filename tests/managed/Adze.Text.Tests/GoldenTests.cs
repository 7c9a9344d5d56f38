using System.Text.Json;

namespace Adze.Text.Tests;

/// <summary>Whole tokenizers against OpenAI's tiktoken and llama-tokenizer-js.</summary>
public class GoldenTests
{
    [Theory]
    [InlineData("gpt2")]
    [InlineData("cl100k_base")]
    [InlineData("o200k_base")]
    [InlineData("llama2")]
    public void EncodesLikeTheReference(string name)
    {
        JsonElement golden = Golden.Read(name);
        Tokenizer tokenizer = Golden.Tokenizer(golden);
        var failures = new List<string>();
        int count = 0;
        foreach ((string text, int[] ids) in Golden.Cases(golden))
        {
            count++;
            int[] ours = tokenizer.Encode(text);
            if (!ours.SequenceEqual(ids))
                failures.Add($"{Golden.Show(text)}: {Golden.Show(ours)}, not {Golden.Show(ids)}");
        }

        Golden.AssertNone(failures, count);
    }

    [Theory]
    [InlineData("gpt2")]
    [InlineData("cl100k_base")]
    [InlineData("o200k_base")]
    [InlineData("llama2")]
    public void DecodesBackToTheText(string name)
    {
        JsonElement golden = Golden.Read(name);
        Tokenizer tokenizer = Golden.Tokenizer(golden);
        bool skip = name == "llama2"; // its ids begin with <s>
        foreach ((string text, int[] ids) in Golden.Cases(golden))
            Assert.Equal(text, tokenizer.Decode(ids, skip));
    }
}
