"""Writes two small random checkpoints of awkward shapes and their references.

    /usr/bin/python3 tests/reference/odd.py

odd/      Llama: head_dim 8, five query heads on one key head, five layers, a separate lm_head, Llama 3.1's rope scaling
          with wavelengths in all three of its ranges; float32 and float16 in two files, the older spelling of merges.
mistral/  Mistral: head_dim 16, two key heads, a window of 16 tokens, shorter than the prompts; bfloat16.

Weights are drawn so that logits are spread and greedy decoding wanders. The seed is the first for which every greedy
choice wins clearly.
"""
import itertools
import json
import sys
from pathlib import Path

import torch
from torch import Tensor

import llama

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.append(str(ROOT / "models" / "orders"))
import tokenizer as bpe  # noqa: E402  (the folder's tokenizer trainer)

COMMON = {"hidden_act": "silu", "rms_norm_eps": 1e-5, "vocab_size": 512, "max_position_embeddings": 256,
          "attention_bias": False, "tie_word_embeddings": False, "bos_token_id": None, "eos_token_id": None}
ODD = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 40, "num_hidden_layers": 5,
       "num_attention_heads": 5, "num_key_value_heads": 1, "head_dim": 8, "intermediate_size": 72, "mlp_bias": False,
       "rope_theta": 100.0, "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                             "high_freq_factor": 4.0, "original_max_position_embeddings": 32},
       "torch_dtype": "float32", **COMMON}
MISTRAL = {"architectures": ["MistralForCausalLM"], "model_type": "mistral", "hidden_size": 64, "num_hidden_layers": 2,
           "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 152,
           "rope_theta": 10000.0, "sliding_window": 16, "torch_dtype": "bfloat16", **COMMON}

SHORT = ["a", "Shall we begin?\n\n  Yes -- at 10:45, she'll say.", "Ünïcödé, 漢字 and 🙂 are bytes",
         "The kernel reads each page once; the cache holds 12345 tokens of it."]
LONG = ["You may reproduce and distribute copies of the Work in any medium, with or without modifications, provided",
        "for (int i = 0; i < 1024; ++i) { sum += a[i] * b[i]; }  // 1,024 products, one sum",
        "The window slides over the sequence and what has left it is seen through the layers below, which saw it.",
        "Ünïcödé, 漢字 and 🙂 are nothing but bytes to a tokenizer of bytes."]
EXTRA = ["Once upon a time", "0, 1, 1, 2, 3, 5, 8, 13, 21,", "Licensed under the", "\ttabs\tand   spaces  "]


def draw(config: dict, seed: int) -> dict[str, Tensor]:
    """Unit gain everywhere but in queries and keys, whose scores should matter; norms differ from one."""
    generator = torch.Generator().manual_seed(seed)
    hidden, inner, head_dim = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    q, kv = config["num_attention_heads"] * head_dim, config["num_key_value_heads"] * head_dim

    def matrix(rows: int, columns: int, gain: float = 1.0) -> Tensor:
        return torch.randn(rows, columns, generator=generator) * gain * columns ** -0.5

    def norm() -> Tensor:
        return 0.5 + torch.rand(hidden, generator=generator)

    weights = {"model.embed_tokens.weight": matrix(config["vocab_size"], hidden, hidden ** 0.5)}
    for i in range(config["num_hidden_layers"]):
        weights |= {f"model.layers.{i}.{name}.weight": value for name, value in {
            "input_layernorm": norm(),
            "self_attn.q_proj": matrix(q, hidden, 1.5), "self_attn.k_proj": matrix(kv, hidden, 1.5),
            "self_attn.v_proj": matrix(kv, hidden), "self_attn.o_proj": matrix(hidden, q, 1.5),
            "post_attention_layernorm": norm(),
            "mlp.gate_proj": matrix(inner, hidden), "mlp.up_proj": matrix(inner, hidden),
            "mlp.down_proj": matrix(hidden, inner, 1.5)}.items()}
    return {**weights, "model.norm.weight": norm(), "lm_head.weight": matrix(config["vocab_size"], hidden, 3.0)}


def write_json(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def wanders(config: dict, weights: dict[str, Tensor], prompts: list[list[int]], margin: float) -> bool:
    runs = [llama.greedy(llama.Llama(config, weights), prompt, 24) for prompt in prompts]
    return all(gap > margin and len({*ids}) >= 12 for ids, gap in runs)


@torch.no_grad()
def main() -> None:
    # Any plain text will do; the licence lies at hand.
    merges = bpe.train((ROOT / "LICENSE").read_text().split("\n"), 512)
    tokenizer = bpe.document(merges, [], [])
    tokenizer["post_processor"] = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False,
                                   "use_regex": True}

    for name, config, prompts in [("odd", ODD, SHORT), ("mistral", MISTRAL, LONG)]:
        folder = HERE / name
        folder.mkdir(exist_ok=True)
        pairs = [" ".join(pair) for pair in merges] if name == "odd" else [list(pair) for pair in merges]
        write_json(folder / "tokenizer.json", {**tokenizer, "model": {**tokenizer["model"], "merges": pairs}})
        write_json(folder / "config.json", config)
        greedy_prompts = [*prompts, *EXTRA]
        ids = [llama.Tokenizer(folder).prompt(text) for text in greedy_prompts]

        def stored(seed: int) -> dict[str, Tensor]:
            weights = draw(config, seed)
            if name == "mistral":
                return {key: value.bfloat16() for key, value in weights.items()}
            return {key: value.half() if in_second_shard(key) else value for key, value in weights.items()}

        seed = next(seed for seed in itertools.count() if wanders(config, stored(seed), ids, 0.005))
        weights, origin = stored(seed), {"format": "pt", "seed": str(seed)}
        if name == "mistral":
            llama.save(folder / "model.safetensors", weights, origin)
        else:
            files = {key: f"model-0000{1 + in_second_shard(key)}-of-00002.safetensors" for key in weights}
            for file in sorted({*files.values()}):
                llama.save(folder / file, {key: weights[key] for key in weights if files[key] == file}, origin)
            size = sum(value.numel() * value.element_size() for value in weights.values())
            write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": size}, "weight_map": files})
        print(f"{name}: seed {seed}, prompts of {[*map(len, ids)]} tokens")
        llama.write_reference(folder / "reference.safetensors", folder, name, prompts, greedy_prompts, 24, margin=1e-3)


def in_second_shard(name: str) -> bool:
    """Layers 3 and 4 and what follows them; layer 2 is split between the shards, as in large checkpoints."""
    return name.startswith(("model.layers.2.mlp", "model.layers.3", "model.layers.4", "model.norm", "lm_head"))


if __name__ == "__main__":
    main()
