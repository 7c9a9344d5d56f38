namespace Adze.Models;

/// <summary>A model folder in Hugging Face's format: <c>config.json</c>, perhaps <c>generation_config.json</c>, and the weights in <c>model.safetensors</c> or in the shards that <c>model.safetensors.index.json</c> names. Opening it
/// checks that exactly the tensors of the architecture are there, in the right shapes and in F32, F16 or BF16; it
/// reads no weights.</summary>
public sealed class Checkpoint : IDisposable
{
    private const string SingleFile = "model.safetensors";

    private readonly Dictionary<string, SafetensorsFile> _files = [];
    private readonly Dictionary<string, SafetensorsFile> _fileOfTensor = [];

    private Checkpoint(string directory, ModelConfig config) => (Directory, Config) = (directory, config);

    /// <summary>Opens a folder.</summary>
    /// <exception cref="ModelFormatException">A file is missing, cannot be read, or does not fit the
    /// others.</exception>
    public static Checkpoint Open(string directory)
    {
        if (!System.IO.Directory.Exists(directory))
            throw new ModelFormatException(File.Exists(directory)
                ? $"{directory}: is a file, not a model folder"
                : $"{directory}: no such folder");
        Checkpoint checkpoint = new(directory, ModelConfig.Load(directory));
        try
        {
            checkpoint.OpenFiles();
            checkpoint.Check();
            return checkpoint;
        }
        catch
        {
            checkpoint.Dispose();
            throw;
        }
    }

    /// <summary>The folder as it was given.</summary>
    public string Directory { get; }

    /// <summary>The model's shape.</summary>
    public ModelConfig Config { get; }

    /// <summary>The names of all tensors.</summary>
    public IReadOnlyCollection<string> TensorNames => _fileOfTensor.Keys;

    /// <summary>The tensor of this name.</summary>
    /// <exception cref="ModelFormatException">There is no such tensor.</exception>
    public SafetensorsEntry this[string name] => FileOf(name)[name];

    /// <summary>The file that holds a tensor.</summary>
    /// <exception cref="ModelFormatException">There is no such tensor.</exception>
    public SafetensorsFile FileOf(string name) => _fileOfTensor.TryGetValue(name, out SafetensorsFile? file)
        ? file
        : throw new ModelFormatException($"{Directory}: tensor {ModelFormatException.Quote(name)} is missing");

    /// <summary>The bytes of a tensor, in the mapping; valid until the checkpoint is disposed.</summary>
    /// <exception cref="ModelFormatException">There is no such tensor, or its file has become shorter.</exception>
    public TensorData GetData(string name) => FileOf(name).GetData(name);

    /// <summary>Closes all files.</summary>
    public void Dispose()
    {
        foreach (SafetensorsFile file in _files.Values)
            file.Dispose();
    }

    private void OpenFiles()
    {
        string single = Path.Combine(Directory, SingleFile), index = Path.Combine(Directory, ShardIndex.FileName);
        if (Path.Exists(single)) // a folder of that name is refused by name
            AddAll(OpenFile(SingleFile), null);
        else if (Path.Exists(index))
            OpenShards(index);
        else
            throw new ModelFormatException($"{Directory}: has neither {SingleFile} nor {ShardIndex.FileName}");
    }

    private void OpenShards(string indexPath)
    {
        IReadOnlyDictionary<string, string> fileNames = ShardIndex.Load(indexPath);
        foreach (string fileName in fileNames.Values.Distinct().Order(StringComparer.Ordinal))
            AddAll(OpenFile(fileName), fileNames);
        foreach ((string name, string fileName) in fileNames)
            if (!_fileOfTensor.ContainsKey(name))
                throw new ModelFormatException($"{Path.Combine(Directory, fileName)}: tensor " +
                    $"{ModelFormatException.Quote(name)} is missing, which {ShardIndex.FileName} says is here");
    }

    private SafetensorsFile OpenFile(string fileName) =>
        _files[fileName] = SafetensorsFile.Open(Path.Combine(Directory, fileName));

    private void AddAll(SafetensorsFile file, IReadOnlyDictionary<string, string>? index)
    {
        foreach (string name in file.Entries.Keys)
            if (index is null || index.TryGetValue(name, out string? owner) && owner == Path.GetFileName(file.Path))
                _fileOfTensor.Add(name, file);
            else if (!LlamaTensors.IsHarmless(name))
                throw new ModelFormatException($"{file.Path}: holds tensor {ModelFormatException.Quote(name)}, which " +
                    $"{ShardIndex.FileName} does not say is here");
    }

    private void Check()
    {
        HashSet<string> unexpected = [.. _fileOfTensor.Keys.Where(name => !LlamaTensors.IsHarmless(name))];
        foreach ((string name, long[] shape) in LlamaTensors.All(Config))
        {
            CheckTensor(name, shape);
            unexpected.Remove(name);
        }
        if (Config.TieWordEmbeddings && unexpected.Remove(LlamaTensors.Head))
            CheckTiedHead();
        if (unexpected.Order(StringComparer.Ordinal).FirstOrDefault() is { } extra)
            throw Wrong(extra, $"is not part of {Config.Architecture}ForCausalLM with this config.json; ignoring it " +
                "could change the model");
    }

    private void CheckTensor(string name, long[] shape)
    {
        SafetensorsEntry entry = this[name];
        bool rightType = entry.DType is SafetensorsDType.F32 or SafetensorsDType.F16 or SafetensorsDType.BF16;
        string expectedType = rightType ? entry.DType.FormatName() : "F32, F16 or BF16";
        if (!rightType || !entry.Shape.AsSpan().SequenceEqual(shape))
            throw Wrong(name, $"is {entry.Description}; expected {expectedType} {SafetensorsEntry.Format(shape)}");
    }

    // Some checkpoints store the tied head once more. If it were another matrix, one of the two would be wrong.
    private void CheckTiedHead()
    {
        CheckTensor(LlamaTensors.Head, [Config.VocabularySize, Config.HiddenSize]);
        TensorData head = GetData(LlamaTensors.Head), embedding = GetData(LlamaTensors.Embedding);
        bool same = head.Entry.DType == embedding.Entry.DType;
        for (long start = 0; same && start < head.Bytes; start += 1 << 24)
        {
            int length = (int)Math.Min(1 << 24, head.Bytes - start);
            same = head.Slice(start, length).SequenceEqual(embedding.Slice(start, length));
        }
        if (!same)
            throw Wrong(LlamaTensors.Head, $"differs from {LlamaTensors.Embedding}, but config.json says " +
                "tie_word_embeddings");
    }

    private ModelFormatException Wrong(string name, string what) =>
        new($"{FileOf(name).Path}: tensor {ModelFormatException.Quote(name)} {what}");
}
