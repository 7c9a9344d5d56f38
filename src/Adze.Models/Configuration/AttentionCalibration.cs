using System.Buffers;
using System.Globalization;
using System.Text.Json;

namespace Adze.Models;

/// <summary>What <c>adze tune attention</c> learned of a model: <c>adze.json</c> in its folder, beside which
/// docs/calibration.md has the format.</summary>
/// <param name="Text">What the model ran on.</param>
/// <param name="Phi">φ of the unified softmax (FlashDecoding++, arXiv 2311.01282) for each layer and query head, in the
/// units of logits (natural logarithms).</param>
public sealed record AttentionCalibration(string Text, IReadOnlyList<float[]> Phi)
{
    /// <summary>The file's name.</summary>
    public const string FileName = "adze.json";

    private const string Section = "attention";

    /// <summary>Reads a folder's file; null where there is none, or none of attention in it.</summary>
    /// <exception cref="ModelFormatException">The file cannot be read, or is of another model.</exception>
    public static AttentionCalibration? Load(string directory, ModelConfig config)
    {
        string path = Path.Combine(directory, FileName);
        if (!Path.Exists(path) || JsonSection.Load(path).Section(Section) is not { } attention)
            return null;
        return new AttentionCalibration(
            attention.String("text") ?? "", attention.Floats("phi", config.NumLayers, config.NumHeads));
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
            writer.WriteStartArray("phi");
            foreach (float[] layer in Phi) // a line for each
            {
                IEnumerable<string> heads = layer.Select(phi => phi.ToString(CultureInfo.InvariantCulture));
                writer.WriteRawValue($"\n      [{string.Join(", ", heads)}]");
            }
            writer.WriteEndArray();
            writer.WriteEndObject();
            writer.WriteEndObject();
        }
        File.WriteAllBytes(written, [.. json.WrittenSpan, (byte)'\n']);
        File.Move(written, path, overwrite: true); // whoever loads the model meanwhile reads one or the other
    }
}
