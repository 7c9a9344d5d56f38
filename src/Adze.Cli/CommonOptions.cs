using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using Adze.Engine;
using Adze.Native;

namespace Adze.Cli;

/// <summary>Options that commands share, and how values are read: in the invariant culture, with one-line errors.
/// </summary>
internal sealed class CommonOptions
{
    private static readonly Dictionary<string, Backend> s_backends = new(StringComparer.Ordinal)
    {
        ["auto"] = Backend.Auto,
        ["cpu"] = Backend.Cpu,
        ["sim"] = Backend.Sim,
        ["cuda"] = Backend.Cuda,
        ["hip"] = Backend.Hip,
    };

    private static readonly Dictionary<string, DType> s_dtypes = new(StringComparer.Ordinal)
    {
        ["auto"] = DType.None,
        ["f32"] = DType.F32,
        ["f16"] = DType.F16,
        ["bf16"] = DType.BF16,
    };

    private static readonly Dictionary<string, DType> s_caches = new(s_dtypes, StringComparer.Ordinal)
    {
        ["fp8"] = DType.F8E4M3,
        ["int8"] = DType.I8,
        ["int4"] = DType.I4,
    };

    private static readonly Dictionary<string, Softmax> s_softmaxes = new(StringComparer.Ordinal)
    {
        ["auto"] = Softmax.Tuned,
        ["stable"] = Softmax.Stable,
        ["unified"] = Softmax.Unified,
    };

    // Of what a command does not have, or nobody gave, and whose default is not the zero of its type.
    private static readonly EngineOptions s_defaults = new();

    private readonly Option<Backend> _backend =
        Choice("--backend", s_backends, "Where to run; auto takes the GPU when there is one, else the cpu.");

    private readonly Option<int> _device = Integer("--device", "N", 0, 0, "Index among the backend's devices.");

    private readonly Option<DType> _dtype =
        Choice("--dtype", s_dtypes, "Type of activations; auto is f32 on cpu, else bf16.");

    private readonly Option<int> _threads =
        Integer("--threads", "N", 0, 0, "Threads of the cpu and sim backends; 0 takes all cores.");

    private readonly Option<DType> _cache = Choice("--kv-cache", s_caches,
        "Type of the KV cache; auto is that of the activations. fp8, int8 and int4 have a scale per token and head.");

    private readonly Option<int> _pageSize =
        Integer("--page-size", "N", 16, 1, "Tokens in a page of the KV cache, 1 to 256.", most: 256);

    private readonly Option<Softmax> _softmax = Choice("--softmax", s_softmaxes,
        "Attention's softmax. unified takes phi from the model's adze.json, see adze tune attention, and lets a prompt's bits " +
        "depend on those beside it; cpu and f16 caches are stable all the same. auto is stable here, where they do not.");

    /// <summary>For commands that run no model.</summary>
    public void AddDeviceTo(Command command)
    {
        command.Options.Add(_backend);
        command.Options.Add(_device);
    }

    /// <summary>For commands that run a model, whatever its cache.</summary>
    public void AddModelTo(Command command)
    {
        AddDeviceTo(command);
        command.Options.Add(_dtype);
        command.Options.Add(_threads);
    }

    public void AddTo(Command command)
    {
        AddModelTo(command);
        command.Options.Add(_cache);
        command.Options.Add(_pageSize);
        command.Options.Add(_softmax);
    }

    public (Backend Backend, int Device) Device(ParseResult result) =>
        (result.GetValue(_backend), result.GetValue(_device));

    public EngineOptions Engine(ParseResult result) => new()
    {
        Backend = result.GetValue(_backend),
        Device = result.GetValue(_device),
        DType = result.GetValue(_dtype),
        NumThreads = result.GetValue(_threads),
        CacheDType = result.GetValue(_cache),
        PageSize = result.GetResult(_pageSize) is null ? s_defaults.PageSize : result.GetValue(_pageSize),
        Softmax = result.GetResult(_softmax) is null ? s_defaults.Softmax : result.GetValue(_softmax),
        // Whose softmax is always the stable one.
        Deterministic = result.GetValue(_softmax) != Softmax.Unified,
    };

    /// <summary>How a backend or type is spelled on the command line.</summary>
    public static string Spell(Backend backend) => s_backends.First(pair => pair.Value == backend).Key;

    /// <inheritdoc cref="Spell(Backend)"/>
    public static string Spell(DType dtype) => s_caches.First(pair => pair.Value == dtype).Key;

    /// <summary>For commands that look at backends and run on none; auto is all of them.</summary>
    public static Option<Backend> OneBackend() =>
        Choice("--backend", s_backends, "The backend to show; auto shows all.");

    public static Option<string> Text(string name, string valueName, string description) =>
        new(name) { Required = true, HelpName = valueName, Description = description };

    public static Option<string> ModelFolder() => Path("--model", "DIR", "A model folder in Hugging Face's format.");

    public static Option<string> Path(string name, string valueName, string description)
    {
        Option<string> option = Text(name, valueName, description);
        option.Validators.Add(result =>
        {
            if (result.Tokens is [{ Value: "" }])
                result.AddError($"{name} is empty; expected a path");
        });
        return option;
    }

    public static Option<bool> Json() => new("--json") { Description = "Print one JSON object instead." };

    public static Option<float> Number(string name, string valueName, float @default, float most, string description) =>
        new(name)
        {
            HelpName = valueName,
            Description = description,
            DefaultValueFactory = _ => @default,
            CustomParser = result => Read(result, name,
                float.IsFinite(most) ? $"a number from 0 to {Print(most)}" : "a number from 0 up",
                text => ParseFloat(text, most)),
        };

    public static Option<int> Integer(string name, string valueName, int @default, int least, string description,
        int most = int.MaxValue) =>
        new(name)
        {
            HelpName = valueName,
            Description = description,
            DefaultValueFactory = _ => @default,
            CustomParser = result => Read<int>(result, name, $"an integer from {Print(least)} to {Print(most)}", text =>
                int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value)
                    && value >= least && value <= most ? value : null),
        };

    public static Option<ulong> Seed() => new("--seed")
    {
        HelpName = "S",
        Description = "Of the random numbers; the same seed gives the same text.",
        DefaultValueFactory = _ => 0UL,
        CustomParser = result => Read<ulong>(result, "--seed", "an integer from 0 to 18446744073709551615", text =>
            ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out ulong value) ? value : null),
    };

    private static Option<T> Choice<T>(string name, Dictionary<string, T> choices, string description)
        where T : struct => new(name)
        {
            HelpName = string.Join('|', choices.Keys),
            Description = description,
            // Its default is the type's zero: auto, but for the softmax.
            CustomParser = result => Read<T>(result, name, $"one of {string.Join(", ", choices.Keys)}",
                text => choices.TryGetValue(text, out T value) ? value : null),
        };

    private static T Read<T>(ArgumentResult result, string name, string expected, Func<string, T?> parse)
        where T : struct
    {
        string text = result.Tokens[^1].Value;
        if (parse(text) is { } value)
            return value;
        result.AddError($"{name} is '{text}'; expected {expected}");
        return default;
    }

    private static float? ParseFloat(string text, float most) =>
        float.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out float value)
            && float.IsFinite(value) && value >= 0 && value <= most ? value : null;

    private static string Print(IFormattable value) => value.ToString(null, CultureInfo.InvariantCulture);
}
