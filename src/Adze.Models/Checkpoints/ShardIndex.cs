using System.Text.Json;

namespace Adze.Models;

/// <summary><c>model.safetensors.index.json</c>: which file of a sharded checkpoint holds which tensor.</summary>
internal static class ShardIndex
{
    public const string FileName = "model.safetensors.index.json";

    /// <summary>File names by tensor name.</summary>
    public static IReadOnlyDictionary<string, string> Load(string path)
    {
        JsonSection index = JsonSection.Load(path);
        JsonSection map = index.Section("weight_map") ?? throw index.Wrong("weight_map", "is missing");
        Dictionary<string, string> files = [];
        foreach ((string name, JsonElement value) in map.Properties())
            files.Add(name, FileNameOf(map, name, value));
        return files.Count > 0 ? files : throw index.Wrong("weight_map", "is empty");
    }

    // A shard lies beside the index: a name with a folder in it could lead anywhere.
    private static string FileNameOf(JsonSection map, string name, JsonElement value)
    {
        string file = map.String(name) ?? throw map.Wrong(name, value, "a file name");
        return file.EndsWith(".safetensors", StringComparison.Ordinal) && file.AsSpan().IndexOfAny("/\\:\0") < 0
            ? file
            : throw map.Wrong(name, value, "the name of a .safetensors file beside the index");
    }
}
