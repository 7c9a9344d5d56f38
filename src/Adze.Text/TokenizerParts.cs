namespace Adze.Text;

/// <summary>The parts of a tokenizer.json, each read and checked.</summary>
internal sealed record TokenizerParts(
    Vocabulary Vocabulary,
    IReadOnlyList<AddedToken> AddedTokens,
    Normalizer? Normalizer,
    PreTokenizer PreTokenizer,
    PostProcessor PostProcessor,
    DecoderPlan Decoder);
