namespace Adze.Text;

/// <summary>The "post_processor": which special tokens go before and after the text.</summary>
internal sealed record PostProcessor(int[] Prefix, int[] Suffix)
{
    private static readonly PostProcessor s_none = new([], []);

    public static PostProcessor Parse(JsonPart json, Vocabulary vocabulary) =>
        json.IsNull ? s_none : ParseStep(json, vocabulary);

    private static PostProcessor ParseStep(JsonPart json, Vocabulary vocabulary)
    {
        string type = json.Type();
        switch (type)
        {
            case "ByteLevel":
                json.Only("type", "add_prefix_space", "trim_offsets", "use_regex"); // all of it is about offsets
                return s_none;
            case "TemplateProcessing":
                return ParseTemplate(json.Only("type", "single", "pair", "special_tokens"), vocabulary);
            case "Sequence":
                PostProcessor all = s_none;
                foreach (JsonPart item in json.Only("type", "processors").Required("processors").Items())
                {
                    PostProcessor next = ParseStep(item, vocabulary);
                    all = new PostProcessor([.. next.Prefix, .. all.Prefix], [.. all.Suffix, .. next.Suffix]);
                }

                return all;
            default:
                throw json.Refuse($"the post-processor {Quoting.Quote(type)} is not supported");
        }
    }

    /// <summary>Reads the template for one text; the one for pairs is not used.</summary>
    private static PostProcessor ParseTemplate(JsonPart json, Vocabulary vocabulary)
    {
        Dictionary<string, int[]> specials = ParseSpecialTokens(json["special_tokens"], vocabulary);
        List<int> prefix = [], suffix = [];
        bool seen = false;
        foreach (JsonPart item in json.Required("single").Items())
        {
            item.Only("SpecialToken", "Sequence");
            JsonPart special = item["SpecialToken"];
            if (!special.IsNull)
            {
                JsonPart name = special.Only("id", "type_id").Required("id");
                if (!specials.TryGetValue(name.String(), out int[]? ids))
                    throw name.Refuse($"{Quoting.Quote(name.String())} is not among \"special_tokens\"");
                (seen ? suffix : prefix).AddRange(ids);
                continue;
            }

            JsonPart sequence = item.Required("Sequence").Only("id", "type_id").Required("id");
            if (sequence.String() != "A" || seen)
                throw sequence.Refuse("the template for one text must hold the sequence \"A\" once, and no other");
            seen = true;
        }

        return seen ? new PostProcessor([.. prefix], [.. suffix]) : throw json["single"].Refuse("the sequence \"A\" is missing");
    }

    private static Dictionary<string, int[]> ParseSpecialTokens(JsonPart json, Vocabulary vocabulary)
    {
        var specials = new Dictionary<string, int[]>(StringComparer.Ordinal);
        if (json.IsNull)
            return specials;
        foreach ((string name, JsonPart member) in json.Members())
        {
            var ids = new List<int>();
            foreach (JsonPart item in member.Only("id", "ids", "tokens").Required("ids").Items())
            {
                int id = item.Int(Vocabulary.LargestId);
                ids.Add(vocabulary.Contains(id) ? id : throw item.Refuse($"{id} is not the id of a token"));
            }

            specials[name] = [.. ids];
        }

        return specials;
    }
}
