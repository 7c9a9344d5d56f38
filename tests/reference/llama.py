"""Llama (Touvron et al. 2023) and Mistral (Jiang et al. 2023) as in the papers, in PyTorch: the tests' references.

    x_0     = E[ids]
    h       = x_l + W_o attention(rope(W_q n), rope(W_k n), W_v n)     n = rmsnorm(x_l)
    x_{l+1} = h + W_down (silu(W_gate m) * W_up m)                     m = rmsnorm(h)
    logits  = W_lm rmsnorm(x_L)

Nothing is optimised, there is no cache and a sequence is a row per token. The truth is computed in float64 over the
weights as they are stored and kept rounded to float32; PyTorch's own error in float32 and in bfloat16 goes into the
metadata of the file, as "relative max": |y - y64| / |y64| over the whole tensor, and the largest element's error.
"""
import json
import math
import re
import struct
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I32": torch.int32}


class Precision(NamedTuple):
    """Matrix products take and give `product`; the residual stream, norms, rope and softmax are in `stream`."""
    stream: torch.dtype
    product: torch.dtype


FLOAT64 = Precision(torch.float64, torch.float64)
FLOAT32 = Precision(torch.float32, torch.float32)
BFLOAT16 = Precision(torch.float32, torch.bfloat16)


class Llama:
    def __init__(self, config: dict, weights: dict[str, Tensor], precision: Precision = FLOAT64):
        self.config, self.precision = config, precision
        self.weights = {name: value.to(precision.product) for name, value in weights.items()}
        self.heads, self.kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
        self.head_dim = config.get("head_dim") or config["hidden_size"] // self.heads

    def __call__(self, ids: list[int]) -> tuple[list[Tensor], Tensor]:
        """The residual stream before the first and after each layer, and the logits; a row per token."""
        x = self.weights["model.embed_tokens.weight"][ids].to(self.precision.stream)
        hidden = [x]
        for i in range(self.config["num_hidden_layers"]):
            layer = f"model.layers.{i}."
            x = x + self.attention(layer + "self_attn.", self.norm(layer + "input_layernorm", x))
            x = x + self.mlp(layer + "mlp.", self.norm(layer + "post_attention_layernorm", x))
            hidden.append(x)
        head = "model.embed_tokens" if self.config["tie_word_embeddings"] else "lm_head"
        return hidden, self.linear(head, self.norm("model.norm", x))

    def product(self, a: Tensor, b: Tensor) -> Tensor:
        return (a.to(self.precision.product) @ b.to(self.precision.product)).to(self.precision.stream)

    def linear(self, name: str, x: Tensor) -> Tensor:
        return self.product(x, self.weights[name + ".weight"].T)

    def norm(self, name: str, x: Tensor) -> Tensor:
        scale = torch.rsqrt(x.square().mean(-1, keepdim=True) + self.config["rms_norm_eps"])
        return x * scale * self.weights[name + ".weight"].to(x.dtype)

    def attention(self, name: str, x: Tensor) -> Tensor:
        length = len(x)
        q, k, v = (self.linear(name + proj, x).view(length, -1, self.head_dim).transpose(0, 1)
                   for proj in ("q_proj", "k_proj", "v_proj"))
        q, k = self.rope(q), self.rope(k)
        k, v = (t.repeat_interleave(self.heads // self.kv_heads, 0) for t in (k, v))
        # Token i sees token j where 0 <= i - j < window.
        distance = torch.arange(length)[:, None] - torch.arange(length)
        hidden = (distance < 0) | (distance >= (self.config.get("sliding_window") or length))
        scores = self.product(q, k.transpose(1, 2)) / math.sqrt(self.head_dim)
        out = self.product(scores.masked_fill(hidden, -math.inf).softmax(-1), v)
        return self.linear(name + "o_proj", out.transpose(0, 1).reshape(length, -1))

    def rope(self, x: Tensor) -> Tensor:
        angle = torch.arange(x.shape[1])[:, None] * self.frequencies().to(x.dtype)
        cos, sin = angle.cos(), angle.sin()
        a, b = x.chunk(2, -1)
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)

    def frequencies(self) -> Tensor:
        exponent = torch.arange(0, self.head_dim, 2, dtype=torch.float64) / self.head_dim
        frequency = self.config["rope_theta"] ** -exponent
        scaling = self.config.get("rope_scaling")
        if scaling is None:
            return frequency
        # Llama 3.1: wavelengths beyond original / low are stretched by the factor, those below original / high are
        # kept, and between them the frequency is interpolated.
        assert scaling["rope_type"] == "llama3"
        low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
        turns = scaling["original_max_position_embeddings"] * frequency / (2 * math.pi)
        kept = ((turns - low) / (high - low)).clamp(0, 1)
        return kept * frequency + (1 - kept) * frequency / scaling["factor"]

    def mlp(self, name: str, x: Tensor) -> Tensor:
        gate, up = self.linear(name + "gate_proj", x), self.linear(name + "up_proj", x)
        return self.linear(name + "down_proj", torch.nn.functional.silu(gate) * up)


def greedy(model: Llama, prompt: list[int], length: int) -> tuple[list[int], float]:
    """The ids of greedy decoding, eos included, and the smallest gap between the best logit and the second."""
    ids, margin = list(prompt), math.inf
    while len(ids) < len(prompt) + length:
        best = model(ids)[1][-1].topk(2)
        ids.append(best.indices[0].item())
        margin = min(margin, (best.values[0] - best.values[1]).item())
        if ids[-1] == model.config["eos_token_id"]:
            break
    return ids[len(prompt):], margin


class Tokenizer:
    """Byte-level BPE from tokenizer.json, with the special tokens of a TemplateProcessing post-processor."""

    def __init__(self, folder: Path):
        data = json.loads((folder / "tokenizer.json").read_text())
        added = {token["content"]: token["id"] for token in data["added_tokens"]}
        self.vocab = data["model"]["vocab"] | added
        merges = (pair.split(" ") if isinstance(pair, str) else pair for pair in data["model"]["merges"])
        self.ranks = {tuple(pair): rank for rank, pair in enumerate(merges)}
        # Python's re has no \p; [^\W\d_] and \d are as good for these texts.
        pattern = data["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"]
        for ours, theirs in [(r"[^\r\n\p{L}\p{N}]", r"(?:[^\r\n\w]|_)"), (r"[^\s\p{L}\p{N}]", r"(?:[^\s\w]|_)"),
                             (r"\p{L}", r"[^\W\d_]"), (r"\p{N}", r"\d")]:
            pattern = pattern.replace(ours, theirs)
        self.pattern = re.compile(pattern)
        printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
        others = [byte for byte in range(256) if byte not in printable]
        self.characters = {byte: chr(byte) for byte in printable}
        self.characters |= {byte: chr(0x100 + i) for i, byte in enumerate(others)}
        template = data["post_processor"].get("single", [{"Sequence": {}}])
        at = next(i for i, piece in enumerate(template) if "Sequence" in piece)
        specials = [added[piece["SpecialToken"]["id"]] if "SpecialToken" in piece else None for piece in template]
        self.prefix, self.suffix = specials[:at], specials[at + 1:]

    def encode(self, text: str) -> list[int]:
        return [i for word in self.pattern.findall(text) for i in self.encode_word(word)]

    def encode_word(self, word: str) -> list[int]:
        symbols = [self.characters[byte] for byte in word.encode()]
        while len(symbols) > 1:
            rank, i = min((self.ranks.get(pair, math.inf), i) for i, pair in enumerate(zip(symbols, symbols[1:])))
            if rank == math.inf:
                break
            symbols[i:i + 2] = [symbols[i] + symbols[i + 1]]
        return [self.vocab[symbol] for symbol in symbols]

    def prompt(self, text: str) -> list[int]:
        return [*self.prefix, *self.encode(text), *self.suffix]


def load(folder: Path) -> tuple[dict, dict[str, Tensor]]:
    """config.json and the tensors of model.safetensors, or of the files that model.safetensors.index.json names."""
    index = folder / "model.safetensors.index.json"
    files = sorted({*json.loads(index.read_text())["weight_map"].values()}) if index.exists() else ["model.safetensors"]
    weights: dict[str, Tensor] = {}
    for file in files:
        raw = (folder / file).read_bytes()
        start = 8 + struct.unpack_from("<Q", raw)[0]
        for name, entry in json.loads(raw[8:start]).items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                data = torch.frombuffer(bytearray(raw[start + begin:start + end]), dtype=DTYPES[entry["dtype"]])
                weights[name] = data.view(entry["shape"])
    return json.loads((folder / "config.json").read_text()), weights


def save(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    names = {dtype: name for name, dtype in DTYPES.items()}
    header: dict = {"__metadata__": metadata}
    data = []
    offset = 0
    for name, tensor in tensors.items():
        # PyTorch 1.13 gives numpy no bfloat16, so two-byte types go as integers.
        tensor = tensor.contiguous()
        raw = (tensor.view(torch.int16) if tensor.element_size() == 2 else tensor).numpy().tobytes()
        end = offset + len(raw)
        header[name] = {"dtype": names[tensor.dtype], "shape": [*tensor.shape], "data_offsets": [offset, end]}
        data.append(raw)
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % 64)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data))


def ragged(name: str, rows: list[list[int]]) -> dict[str, Tensor]:
    """Sequences one after another, and where each begins and the last ends."""
    indptr = torch.tensor([0, *map(len, rows)]).cumsum(0)
    return {f"{name}_ids": torch.tensor(sum(rows, [])).int(), f"{name}_indptr": indptr.int()}


def states(model: Llama, prompts: list[list[int]]) -> dict[str, Tensor]:
    runs = [model(prompt) for prompt in prompts]
    hidden = {f"hidden.{i}": torch.cat(rows) for i, rows in enumerate(zip(*(hidden for hidden, _ in runs)))}
    return {**hidden, "logits": torch.cat([logits for _, logits in runs])}


@torch.no_grad()
def write_reference(path: Path, folder: Path, name: str, prompts: list[str], greedy_prompts: list[str], length: int,
                    margin: float) -> None:
    """Every greedy choice must win by more than `margin`, so that other orders of summation choose the same."""
    config, weights = load(folder)
    tokenizer = Tokenizer(folder)
    ids, greedy_ids = ([tokenizer.prompt(text) for text in texts] for texts in (prompts, greedy_prompts))
    model = Llama(config, weights)
    truth = {key: value.float() for key, value in states(model, ids).items()}
    answers, margins = zip(*(greedy(model, prompt, length) for prompt in greedy_ids))
    assert min(margins) > margin, f"the closest greedy choice wins by only {min(margins)}"

    metadata = {"format": "adze-reference-1", "dtype": "float32", "model": name, "torch": torch.__version__,
                "prompts": json.dumps(prompts), "greedy_prompts": json.dumps(greedy_prompts),
                "greedy_margin": repr(min(margins))}
    for label, precision in [("float32", FLOAT32), ("bfloat16", BFLOAT16)]:
        for key, value in states(Llama(config, weights, precision), ids).items():
            error = value.double() - truth[key].double()
            relative = (error.norm() / truth[key].double().norm()).item()
            metadata[f"error.{label}.{key}"] = f"{relative!r} {error.abs().max().item()!r}"
    tensors = {**ragged("prompt", ids), **truth, **ragged("greedy_prompt", greedy_ids), **ragged("greedy", [*answers])}
    save(path, tensors, metadata)

    size = path.stat().st_size
    print(f"{path.name}: {size} bytes, {len(sum(ids, []))} tokens, smallest greedy margin {min(margins):.4f}")
    for key, value in metadata.items():
        if key.startswith("error"):
            print(f"  {key:24} {value}")
