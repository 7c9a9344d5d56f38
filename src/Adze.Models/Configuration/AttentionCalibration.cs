using System.Buffers;
using System.Globalization;
using System.Text.Json;
using Adze.Native;

namespace Adze.Models;

/// <summary>Where the unified softmax (FlashDecoding++, arXiv 2311.01282) puts φ for one format of the attention
/// weights.</summary>
/// <param name="PhiBelow">A row whose largest logit is below φ by more than this is done with its maximum; above
/// 0.</param>
/// <param name="PhiAbove">So is a row that has a logit above φ by more than this; above 0.</param>
/// <param name="Phi">For each layer and query head, in the units of logits (natural logarithms).</param>
public sealed record UnifiedSoftmax(float PhiBelow, float PhiAbove, IReadOnlyList<float[]> Phi);

/// <summary>What <c>adze tune attention</c> learned of a model: <c>adze.json</c> in its folder, beside which
/// docs/calibration.md has the format.</summary>
/// <param name="Text">What the model ran on.</param>
/// <param name="BF16">For weights in BF16, or in F32, which has the same range.</param>
/// <param name="F16">For weights in F16.</param>
public sealed record AttentionCalibration(string Text, UnifiedSoftmax BF16, UnifiedSoftmax F16)
{
    /// <summary>The file's name.</summary>
    public const string FileName = "adze.json";

    private const string Section = "attention";

    /// <summary>The one for weights of a type.</summary>
    public UnifiedSoftmax For(DType weights) => weights == DType.F16 ? F16 : BF16;

    /// <summary>Reads a folder's file; null where there is none, or none of attention in it.</summary>
    /// <exception cref="ModelFormatException">The file cannot be read, or is of another model.</exception>
    public static AttentionCalibration? Load(string directory, ModelConfig config)
    {
        string path = Path.Combine(directory, FileName);
        if (!Path.Exists(path) || JsonSection.Load(path).Section(Section) is not { } attention)
            return null;
        return new AttentionCalibration(
            attention.String("text") ?? "", Read(attention, "bf16", config), Read(attention, "f16", config));
    }

    /// <summary>Writes the folder's file. Its other sections stay.</summary>
    /// <exception cref="ModelFormatException">There is a file that is no JSON object.</exception>
    public void Save(string directory)
    {
        string path = Path.Combine(directory, FileName), written = path + ".new";
        ArrayBufferWriter<byte> json = new();
        using (Utf8JsonWriter writer = new(json, new JsonWriterOptions { Indented = true }))
        {
            writer.WriteStartObject();
            foreach ((string name, JsonElement value) in Path.Exists(path) ? JsonSection.Load(path).Properties() : [])
            {
                if (name == Section)
                    continue;
                writer.WritePropertyName(name);
                value.WriteTo(writer);
            }
            writer.WriteStartObject(Section);
            writer.WriteString("text", Text);
            Write(writer, "bf16", BF16);
            Write(writer, "f16", F16);
            writer.WriteEndObject();
            writer.WriteEndObject();
        }
        File.WriteAllBytes(written, [.. json.WrittenSpan, (byte)'\n']);
        File.Move(written, path, overwrite: true); // whoever loads the model meanwhile reads one or the other
    }

    private static UnifiedSoftmax Read(JsonSection attention, string format, ModelConfig config)
    {
        JsonSection section = attention.Section(format) ?? throw attention.Wrong(format, "is missing");
        return new UnifiedSoftmax((float)section.Positive("phi_below"), (float)section.Positive("phi_above"),
            section.Floats("phi", config.NumLayers, config.NumHeads));
    }

    private static void Write(Utf8JsonWriter writer, string format, UnifiedSoftmax softmax)
    {
        writer.WriteStartObject(format);
        writer.WriteNumber("phi_below", softmax.PhiBelow);
        writer.WriteNumber("phi_above", softmax.PhiAbove);
        writer.WriteStartArray("phi");
        foreach (float[] layer in softmax.Phi) // a line for each
        {
            IEnumerable<string> heads = layer.Select(phi => phi.ToString(CultureInfo.InvariantCulture));
            writer.WriteRawValue($"\n        [{string.Join(", ", heads)}]");
        }
        writer.WriteEndArray();
        writer.WriteEndObject();
    }
}
