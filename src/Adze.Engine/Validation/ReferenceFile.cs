using System.Globalization;
using System.Text.Json;
using Adze.Models;
using Adze.Native;

namespace Adze.Engine.Validation;

/// <summary>
/// What another implementation computed for a model: a safetensors file with prompts (<c>prompt_ids</c>,
/// <c>prompt_indptr</c>), the residual stream for each of their tokens (<c>hidden.0</c> to <c>hidden.L</c>), the
/// logits, and greedy continuations (<c>greedy_prompt_ids</c>, <c>greedy_ids</c> and their <c>_indptr</c>). Its
/// metadata hold that implementation's own errors, <c>error.float32.logits</c> = "relative largest" and so on.
/// </summary>
internal sealed class ReferenceFile : IDisposable
{
    private readonly SafetensorsFile _file;
    private readonly ModelConfig _config;

    private ReferenceFile(SafetensorsFile file, ModelConfig config)
    {
        _file = file;
        _config = config;
        Prompts = Ragged("prompt", inVocabulary: true);
        GreedyPrompts = Ragged("greedy_prompt", inVocabulary: true);
        GreedyAnswers = Ragged("greedy", inVocabulary: false);
        if (GreedyAnswers.Length != GreedyPrompts.Length)
            throw Wrong($"holds {GreedyPrompts.Length} greedy prompts and {GreedyAnswers.Length} continuations");
    }

    public int[][] Prompts { get; }

    public int[][] GreedyPrompts { get; }

    public int[][] GreedyAnswers { get; }

    /// <summary>Tokens of all prompts: the rows of <see cref="Values"/>.</summary>
    public int NumTokens => Prompts.Sum(prompt => prompt.Length);

    /// <summary>The least lead of a greedy choice over the next best logit; null where the file does not say.</summary>
    public double? GreedyMargin =>
        _file.Metadata.TryGetValue("greedy_margin", out string? text) ? Number(text, "greedy_margin") : null;

    public static ReferenceFile Open(string path, ModelConfig config)
    {
        SafetensorsFile file = SafetensorsFile.Open(path);
        try
        {
            return new ReferenceFile(file, config);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    public static string HiddenName(int index) => $"hidden.{index}";

    /// <summary>A tensor with one row per prompt token.</summary>
    public float[] Values(string name, int columns)
    {
        SafetensorsEntry entry = _file[name];
        if (!entry.Shape.AsSpan().SequenceEqual([NumTokens, columns]))
        {
            throw Wrong(
                $"tensor {name} is {entry.Description}; this model and these prompts give [{NumTokens}, {columns}]");
        }
        return _file.CopyFloats(name);
    }

    /// <summary>Twice the other implementation's error in this precision.</summary>
    public (double Relative, double Largest) Tolerance(string name, DType dtype)
    {
        string key = $"error.{Name(dtype)}.{name}";
        if (!_file.Metadata.TryGetValue(key, out string? text))
            throw Wrong($"metadata {key} is missing: the file says nothing about {Name(dtype)}");
        string[] parts = text.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return parts.Length == 2
            ? (2 * Number(parts[0], key), 2 * Number(parts[1], key))
            : throw Wrong($"metadata {key} is '{text}'; expected two numbers");
    }

    public void Dispose() => _file.Dispose();

    private static string Name(DType dtype) => dtype switch
    {
        DType.F16 => "float16",
        DType.BF16 => "bfloat16",
        _ => "float32",
    };

    private int[][] Ragged(string name, bool inVocabulary)
    {
        int[] ids = _file.CopyInt32s($"{name}_ids");
        int[] indptr = _file.CopyInt32s($"{name}_indptr");
        if (indptr.Length == 0 || indptr[0] != 0 || indptr[^1] != ids.Length)
            throw Wrong($"{name}_indptr does not run from 0 to {ids.Length}, the number of {name}_ids");
        int[][] rows = new int[indptr.Length - 1][];
        for (int i = 0; i < rows.Length; i++)
        {
            if (indptr[i + 1] <= indptr[i])
                throw Wrong($"{name}_indptr does not increase at {i + 1}");
            rows[i] = ids[indptr[i]..indptr[i + 1]];
        }
        if (inVocabulary && Array.FindIndex(ids, id => (uint)id >= (uint)_config.VocabularySize) is >= 0 and int at)
            throw Wrong($"{name}_ids holds {ids[at]}; the model's vocabulary ends at {_config.VocabularySize - 1}");
        return rows;
    }

    private double Number(string text, string key) =>
        double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value)
            && double.IsFinite(value) && value >= 0
            ? value
            : throw Wrong($"metadata {key} holds '{text}', which is not a finite number from 0");

    private ModelFormatException Wrong(string what) => new($"{_file.Path}: {what}");
}

/// <summary>Prompts that the model was not trained on, and their answers: heldout.jsonl in its folder.</summary>
internal static class HeldOutSet
{
    public const string FileName = "heldout.jsonl";

    public static (string Prompt, string Answer)[] Load(string path)
    {
        List<(string, string)> pairs = [];
        try
        {
            int number = 0;
            foreach (string line in File.ReadLines(path))
            {
                number++;
                if (line.Length > 0)
                    pairs.Add(Parse(path, number, line));
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new ModelFormatException($"{path}: {exception.Message}", exception);
        }
        return [.. pairs];
    }

    private static (string, string) Parse(string path, int number, string line)
    {
        try
        {
            using JsonDocument json = JsonDocument.Parse(line);
            return (Text(json, "prompt"), Text(json, "answer"));
        }
        catch (Exception exception)
            when (exception is JsonException or InvalidOperationException or KeyNotFoundException)
        {
            throw new ModelFormatException(
                $"{path}: line {number} is not an object with the texts 'prompt' and 'answer'", exception);
        }
    }

    private static string Text(JsonDocument json, string name) => json.RootElement.GetProperty(name).GetString()
        ?? throw new InvalidOperationException($"{name} is null");
}
