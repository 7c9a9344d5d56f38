using Adze.Engine.Validation;
using Adze.Models;

namespace Adze.Engine.Calibration;

/// <summary>What a model runs on to be calibrated.</summary>
/// <param name="Name">The file.</param>
/// <param name="Pieces">Token ids, each short enough for one forward pass.</param>
public sealed record CalibrationText(string Name, IReadOnlyList<int[]> Pieces)
{
    private const int MostBytes = 1 << 28;

    /// <summary>Reads a text file; or, for null, the prompts with their answers in the folder's heldout.jsonl.</summary>
    /// <exception cref="ModelFormatException">There is no such file, or nothing in it.</exception>
    public static CalibrationText Load(LanguageModel model, string? path)
    {
        ArgumentNullException.ThrowIfNull(model);
        int most = Math.Min(model.Options.MaxBatchTokens, model.Config.MaxPositionEmbeddings - 1);
        string heldOut = Path.Combine(model.Directory, HeldOutSet.FileName);
        if (path is null && !File.Exists(heldOut))
            throw new ModelFormatException($"{model.Directory}: has no {HeldOutSet.FileName}; name a text: --text FILE");
        string name = path ?? heldOut;
        int[][] pieces = path is null
            ? [.. HeldOutSet.Load(heldOut).SelectMany(pair => Cut(model, Join(model, pair.Prompt, pair.Answer), most))]
            : ReadText(path) is { Length: > 0 } text ? [.. Cut(model, model.Encode(text), most)] : [];
        return pieces.Length > 0
            ? new CalibrationText(Path.GetFileName(name), pieces)
            : throw new ModelFormatException($"{name}: is empty");
    }

    private static int[] Join(LanguageModel model, string prompt, string answer) =>
        [.. model.Encode(prompt), .. model.Tokenizer.Encode(answer, addSpecialTokens: false)];

    // Every piece begins as a sequence does: attention looks at that token much.
    private static IEnumerable<int[]> Cut(LanguageModel model, int[] tokens, int most)
    {
        int[] begin = tokens is [int first, ..] && first == model.Config.BosTokenId ? [first] : [];
        return tokens[begin.Length..].Chunk(most - begin.Length).Select(piece => (int[])[.. begin, .. piece]);
    }

    private static string ReadText(string path)
    {
        try
        {
            return new FileInfo(path).Length <= MostBytes
                ? File.ReadAllText(path)
                : throw new ModelFormatException($"{path}: is larger than the {MostBytes} bytes that are read");
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new ModelFormatException($"{path}: {exception.Message}", exception);
        }
    }
}
