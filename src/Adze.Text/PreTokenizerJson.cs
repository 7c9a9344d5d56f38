using System.Text;

namespace Adze.Text;

/// <summary>Reads the "pre_tokenizer" of a tokenizer.json.</summary>
internal static class PreTokenizerJson
{
    /// <summary>The steps in order, the model's among them as the last.</summary>
    public static PreTokenizer Parse(JsonPart json, Bpe model)
    {
        var steps = new List<PreTokenizer>();
        bool byteLevel = false;
        if (!json.IsNull)
            Add(json, steps, ref byteLevel);
        steps.Add(new ModelStep(model, byteLevel));
        for (int i = 0; i + 1 < steps.Count; i++)
            steps[i].Next = steps[i + 1];
        return steps[0];
    }

    /// <summary>Metaspace is written alike as a pre-tokenizer and as a decoder, and in an older and a newer way.</summary>
    public static (Rune Replacement, PrependScheme Scheme, bool Split) ParseMetaspace(JsonPart json)
    {
        json.Only("type", "replacement", "add_prefix_space", "prepend_scheme", "split", "str_rep");
        Rune replacement = json.Required("replacement").Rune();
        JsonPart scheme = json["prepend_scheme"];
        PrependScheme prepend = scheme.IsNull ? PrependScheme.Always : scheme.String() switch
        {
            "always" => PrependScheme.Always,
            "first" => PrependScheme.First,
            "never" => PrependScheme.Never,
            _ => throw scheme.Refuse($"{Quoting.Quote(scheme.String())} is none of \"always\", \"first\", \"never\""),
        };
        if (!json["add_prefix_space"].Bool(true))
        {
            if (!scheme.IsNull && prepend != PrependScheme.Never)
                throw json.Refuse("\"add_prefix_space\" and \"prepend_scheme\" contradict each other");
            prepend = PrependScheme.Never;
        }

        return (replacement, prepend, json["split"].Bool(true));
    }

    private static void Add(JsonPart json, List<PreTokenizer> steps, ref bool byteLevel)
    {
        string type = json.Type();
        if (byteLevel)
            throw json.Refuse($"{Quoting.Quote(type)} after \"ByteLevel\" is not supported");
        switch (type)
        {
            case "Sequence":
                foreach (JsonPart item in json.Only("type", "pretokenizers").Required("pretokenizers").Items())
                    Add(item, steps, ref byteLevel);
                break;
            case "ByteLevel":
                AddByteLevel(json, steps);
                byteLevel = true;
                break;
            case "Split":
                json.Only("type", "pattern", "behavior", "invert");
                Scanner scanner = Patterns.Parse(json.Required("pattern"));
                steps.Add(new SplitStep(scanner, Behavior(json.Required("behavior")), json["invert"].Bool(false)));
                break;
            case "Digits":
                AddDigits(json, steps);
                break;
            case "Metaspace":
                (Rune replacement, PrependScheme scheme, bool split) = ParseMetaspace(json);
                steps.Add(new MetaspaceStep(replacement, scheme));
                if (split)
                    steps.Add(new SplitStep(
                        new LiteralScanner(replacement.ToString()), SplitBehavior.MergedWithNext, invert: false));
                break;
            default:
                throw json.Refuse($"the pre-tokenizer {Quoting.Quote(type)} is not supported");
        }
    }

    private static void AddByteLevel(JsonPart json, List<PreTokenizer> steps)
    {
        json.Only("type", "add_prefix_space", "trim_offsets", "use_regex"); // trim_offsets moves offsets, not ids
        if (json["add_prefix_space"].Bool(true))
            steps.Add(new PrefixSpaceStep());
        if (json["use_regex"].Bool(true))
            steps.Add(new SplitStep(Gpt2Scanner.Instance, SplitBehavior.Isolated, invert: false));
    }

    private static void AddDigits(JsonPart json, List<PreTokenizer> steps)
    {
        bool individual = json.Only("type", "individual_digits").Required("individual_digits").Bool(false);
        steps.Add(new SplitStep(new NumberScanner(individual ? 1 : int.MaxValue), SplitBehavior.Isolated, invert: false));
    }

    private static SplitBehavior Behavior(JsonPart json) => json.String() switch
    {
        "Isolated" => SplitBehavior.Isolated,
        "Removed" => SplitBehavior.Removed,
        "Contiguous" => SplitBehavior.Contiguous,
        "MergedWithPrevious" => SplitBehavior.MergedWithPrevious,
        "MergedWithNext" => SplitBehavior.MergedWithNext,
        _ => throw json.Refuse($"the behavior {Quoting.Quote(json.String())} is not known"),
    };
}
