"""Byte-level BPE in the form of Hugging Face's tokenizer.json: training and encoding.

    python3 tokenizer.py    trains on the corpus, writes tokenizer.json and tokenizer_config.json

Words are split by the Llama-3 expression. The most frequent pair is merged, of equals the last in code point order,
so that the result depends on the corpus alone.
"""
import json
import re
from collections import Counter
from functools import lru_cache
from pathlib import Path

HERE = Path(__file__).parent
PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
           r"|\s+(?!\S)|\s+")
BOS, SEP, EOS = "<|order|>", "<|answer|>", "<|end|>"


def python_pattern(pattern: str) -> re.Pattern:
    """Python's re knows no \\p: letters are [^\\W\\d_] and numbers \\d, which agrees on what the corpus holds."""
    for hugging_face, python in [(r"[^\r\n\p{L}\p{N}]", r"(?:[^\r\n\w]|_)"), (r"[^\s\p{L}\p{N}]", r"(?:[^\s\w]|_)"),
                                 (r"\p{L}", r"[^\W\d_]"), (r"\p{N}", r"\d")]:
        pattern = pattern.replace(hugging_face, python)
    return re.compile(pattern)


def byte_alphabet() -> list[str]:
    """GPT-2's printable stand-in for each byte: itself where it is printable, else the next character from U+0100."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) if byte in printable else chr(0x100 + others.index(byte)) for byte in range(256)]


ALPHABET = byte_alphabet()


def split(text: str) -> list[str]:
    return ["".join(ALPHABET[byte] for byte in word.encode()) for word in python_pattern(PATTERN).findall(text)]


def train(texts: list[str], vocab_size: int) -> list[tuple[str, str]]:
    words = [(list(word), count) for word, count in sorted(Counter(w for text in texts for w in split(text)).items())]
    merges: list[tuple[str, str]] = []
    tokens = set(ALPHABET)
    while len(tokens) < vocab_size:
        pairs: Counter = Counter()
        for symbols, count in words:
            for pair in zip(symbols, symbols[1:]):
                pairs[pair] += count
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        tokens.add("".join(best))
        for symbols, _ in words:
            merge(symbols, best)
    return merges


def merge(symbols: list[str], pair: tuple[str, str]) -> None:
    i = 0
    while i + 1 < len(symbols):
        if (symbols[i], symbols[i + 1]) == pair:
            symbols[i:i + 2] = [pair[0] + pair[1]]
        i += 1


def document(merges: list[tuple[str, str]], specials: list[str], template: list[str]) -> dict:
    """tokenizer.json. Ids are bytes in the alphabet's order, merges, special tokens; $A in the template is the text."""
    vocab = {token: i for i, token in enumerate(dict.fromkeys([*sorted(ALPHABET), *(a + b for a, b in merges)]))}
    added = [{"id": len(vocab) + i, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
              "normalized": False, "special": True} for i, content in enumerate(specials)]
    ids = {token["content"]: token["id"] for token in added}
    pieces = [{"Sequence" if piece == "$A" else "SpecialToken": {"id": piece.strip("$"), "type_id": 0}}
              for piece in template]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": pieces,
            "pair": [*pieces, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {piece: {"id": piece, "ids": [ids[piece]], "tokens": [piece]}
                               for piece in template if piece != "$A"}},
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": vocab, "merges": [list(pair) for pair in merges]},
    }


class Tokenizer:
    def __init__(self, path: Path):
        data = json.loads(path.read_text())
        self.ids = data["model"]["vocab"] | {token["content"]: token["id"] for token in data["added_tokens"]}
        self.tokens = {i: token for token, i in self.ids.items()}
        self.ranks = {tuple(pair): rank for rank, pair in enumerate(data["model"]["merges"])}
        self.word_ids = lru_cache(maxsize=None)(self.encode_word)

    def encode_word(self, word: str) -> list[int]:
        symbols = list(word)
        while known := [pair for pair in zip(symbols, symbols[1:]) if pair in self.ranks]:
            merge(symbols, min(known, key=self.ranks.__getitem__))
        return [self.ids[symbol] for symbol in symbols]

    def encode(self, text: str) -> list[int]:
        """Without special tokens."""
        return [i for word in split(text) for i in self.word_ids(word)]

    def decode(self, ids: list[int]) -> str:
        text = "".join(self.tokens[i] for i in ids if self.tokens[i] not in (BOS, SEP, EOS))
        return bytes(ALPHABET.index(character) for character in text).decode(errors="replace")


def write_json(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    import corpus

    texts = [f for order, _ in zip(corpus.orders("train", 0), range(20000)) for f in order]
    specials = [BOS, SEP, EOS]
    merges = train(texts, 1024 - len(specials))
    write_json(HERE / "tokenizer.json", document(merges, specials, [BOS, "$A", SEP]))
    write_json(HERE / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": BOS, "eos_token": EOS,
        "clean_up_tokenization_spaces": False, "model_max_length": 512})
    tokenizer = Tokenizer(HERE / "tokenizer.json")
    lengths = [len(tokenizer.encode(text)) for text in texts]
    assert all(tokenizer.decode(tokenizer.encode(text)) == text for text in texts)
    order, answer = sum(lengths[::2]) / 20000, sum(lengths[1::2]) / 20000
    print(f"{len(tokenizer.ids)} tokens; an order has {order:.1f}, its answer {answer:.1f}")
