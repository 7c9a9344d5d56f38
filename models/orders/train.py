"""Trains the model on the corpus: config.json, generation_config.json, model.safetensors and train.log.

    python3 train.py --steps 9000                      the schedule by steps (repeatable)
    python3 train.py --minutes 33                      the schedule by the clock (on a machine that others share)
    python3 train.py --resume state.pt --minutes 10 --scale 0.3 --seed 2

A Llama of 3.2 M parameters. The loss is on the answer and <|end|> only. Matrices are trained by Muon (Jordan et al.
2024: momentum, orthogonalised by five Newton-Schulz steps), everything else by AdamW. Products run in bfloat16; weights
stay in float32 and are rounded to bfloat16 at the end, and so does each evaluation, which uses the validation split. An
answer counts as right if each of its tokens is the most likely one after those before it, which is exactly when greedy
decoding produces it.
"""
import argparse
import itertools
import json
import math
import random
import struct
import time
from pathlib import Path
from typing import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import corpus
from tokenizer import BOS, EOS, SEP, Tokenizer, write_json

HERE = Path(__file__).parent
POOL, BATCH_TOKENS = 8192, 4096


class Norm(nn.Module):
    def __init__(self, hidden: int, eps: float):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(hidden)), eps

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight


def linear(rows: int, columns: int) -> nn.Linear:
    layer = nn.Linear(columns, rows, bias=False)
    nn.init.normal_(layer.weight, std=columns ** -0.5)
    return layer


class Attention(nn.Module):
    def __init__(self, c: dict):
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
        self.q_proj = linear(self.heads * self.head_dim, c["hidden_size"])
        self.k_proj = linear(self.kv_heads * self.head_dim, c["hidden_size"])
        self.v_proj = linear(self.kv_heads * self.head_dim, c["hidden_size"])
        self.o_proj = linear(c["hidden_size"], self.heads * self.head_dim)

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        batch, length, _ = x.shape
        q, k, v = (proj(x).view(batch, length, -1, self.head_dim).transpose(1, 2)
                   for proj in (self.q_proj, self.k_proj, self.v_proj))
        q, k = rotate(q, *rope), rotate(k, *rope)
        group = self.heads // self.kv_heads
        # Query heads of a group are stacked along the sequence, so that keys and values need no copies.
        q = q.reshape(batch, self.kv_heads, group * length, self.head_dim)
        scores = q @ k.transpose(-1, -2) * self.head_dim ** -0.5 + mask.repeat(group, 1)
        out = scores.float().softmax(-1).to(v.dtype) @ v
        out = out.view(batch, self.heads, length, self.head_dim).transpose(1, 2)
        return self.o_proj(out.reshape(batch, length, -1))


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class Mlp(nn.Module):
    def __init__(self, c: dict):
        super().__init__()
        self.gate_proj = linear(c["intermediate_size"], c["hidden_size"])
        self.up_proj = linear(c["intermediate_size"], c["hidden_size"])
        self.down_proj = linear(c["hidden_size"], c["intermediate_size"])

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, c: dict):
        super().__init__()
        self.input_layernorm = Norm(c["hidden_size"], c["rms_norm_eps"])
        self.self_attn = Attention(c)
        self.post_attention_layernorm = Norm(c["hidden_size"], c["rms_norm_eps"])
        self.mlp = Mlp(c)

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), rope, mask)
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama(nn.Module):
    """Module names give Hugging Face's tensor names, less the leading "model."."""

    def __init__(self, c: dict):
        super().__init__()
        self.embed_tokens = nn.Embedding(c["vocab_size"], c["hidden_size"])
        nn.init.normal_(self.embed_tokens.weight, std=c["hidden_size"] ** -0.5)
        self.layers = nn.ModuleList(Layer(c) for _ in range(c["num_hidden_layers"]))
        self.norm = Norm(c["hidden_size"], c["rms_norm_eps"])
        frequency = c["rope_theta"] ** (-torch.arange(0, c["head_dim"], 2) / c["head_dim"])
        angle = torch.arange(c["max_position_embeddings"])[:, None] * frequency
        self.cos, self.sin = angle.cos(), angle.sin()

    def forward(self, ids: Tensor, chosen: Tensor) -> Tensor:
        """Logits of the chosen positions (a mask like ids). Padding is on the right, where causality hides it."""
        length = ids.shape[1]
        mask = torch.full((length, length), -torch.inf).triu(1)
        x = self.embed_tokens(ids)
        for layer in self.layers:
            x = layer(x, (self.cos[:length], self.sin[:length]), mask)
        return F.linear(self.norm(x[chosen]), self.embed_tokens.weight)


class Muon(torch.optim.Optimizer):
    """Matrices of one shape are orthogonalised together. Updates have norm 1, so that weight decay bounds a
    matrix by 1 / decay; without it the residual stream grows a thousandfold."""

    def __init__(self, parameters: list[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.3):
        shapes = itertools.groupby(sorted(parameters, key=lambda p: p.shape), key=lambda p: p.shape)
        super().__init__([{"params": list(group)} for _, group in shapes],
                         {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            gradient = torch.stack([p.grad for p in group["params"]])
            state = self.state[group["params"][0]]
            momentum = state.setdefault("momentum", torch.zeros_like(gradient)).lerp_(gradient, 1 - group["momentum"])
            update = orthogonal(gradient.lerp(momentum, group["momentum"]))
            rows, columns = update.shape[1:]
            lr = group["lr"]
            for p, u in zip(group["params"], update):
                p.mul_(1 - lr * group["weight_decay"]).add_(u, alpha=-lr * max(1, rows / columns) ** 0.5)


def orthogonal(x: Tensor) -> Tensor:
    """An approximate U V^T of each matrix U S V^T in the stack."""
    tall = x.shape[1] > x.shape[2]
    x = (x.transpose(1, 2) if tall else x).bfloat16()
    x = x / (x.float().norm(dim=(1, 2), keepdim=True) + 1e-7).bfloat16()
    for _ in range(5):
        square = x @ x.transpose(1, 2)
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return (x.transpose(1, 2) if tall else x).float()


def collate(examples: list[tuple[list[int], int]]) -> tuple[Tensor, Tensor]:
    """Ids, padded, and the mask of the positions whose successor is part of the answer."""
    length = max(len(ids) for ids, _ in examples)
    ids = torch.zeros(len(examples), length, dtype=torch.long)
    chosen = torch.zeros(len(examples), length, dtype=torch.bool)
    for row, (tokens, start) in enumerate(examples):
        ids[row, :len(tokens)] = torch.tensor(tokens)
        chosen[row, start - 1:len(tokens) - 1] = True
    return ids, chosen


def examples(tokenizer: Tokenizer, split: str, seed: int) -> Iterator[tuple[list[int], int]]:
    """Token ids of <|order|> prompt <|answer|> answer <|end|>, and where the answer starts."""
    for order in corpus.orders(split, seed):
        head = [tokenizer.ids[BOS], *tokenizer.encode(order.prompt), tokenizer.ids[SEP]]
        yield [*head, *tokenizer.encode(order.answer), tokenizer.ids[EOS]], len(head)


def batches(tokenizer: Tokenizer, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """A pool of examples, sorted by length and cut, wastes few tokens on padding; the batches come in random order."""
    stream, rng = examples(tokenizer, "train", seed), random.Random(seed)
    while True:
        pool = sorted(itertools.islice(stream, POOL), key=lambda example: len(example[0]))
        cut, start = [], 0
        for i in range(1, len(pool) + 1):
            if i == len(pool) or (i + 1 - start) * len(pool[i][0]) > BATCH_TOKENS:
                cut.append(pool[start:i])
                start = i
        rng.shuffle(cut)
        yield from map(collate, cut)


def rounded(model: Llama) -> dict[str, Tensor]:
    return {name: value.detach().bfloat16() for name, value in model.state_dict().items()}


@torch.no_grad()
def accuracy(model: Llama, c: dict, batch: list[tuple[list[int], int]]) -> float:
    """The share of exact answers, with weights rounded to bfloat16 and arithmetic in float32."""
    copy = Llama(c)
    copy.load_state_dict({name: value.float() for name, value in rounded(model).items()})
    right = 0
    for start in range(0, len(batch), 64):
        ids, chosen = collate(batch[start:start + 64])
        wrong = copy(ids, chosen).argmax(-1) != ids.roll(-1, 1)[chosen]
        right += len(ids) - len(chosen.nonzero()[wrong, 0].unique())
    return right / len(batch)


def save(model: Llama, path: Path) -> None:
    """A safetensors file: header length, header (JSON, padded so that the data is aligned to 64 bytes), data."""
    header, data = {"__metadata__": {"format": "pt"}}, []
    offset = 0
    for name, value in sorted(rounded(model).items()):
        raw = bytes(value.contiguous().view(torch.int16).numpy())
        end = offset + len(raw)
        header["model." + name] = {"dtype": "BF16", "shape": [*value.shape], "data_offsets": [offset, end]}
        data.append(raw)
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % 64)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, help="length of the schedule in steps")
    parser.add_argument("--minutes", type=float, help="length of the schedule by the clock")
    parser.add_argument("--scale", type=float, default=1.0, help="of both learning rates")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resume", type=Path, help="a state to start from, with a fresh schedule")
    parser.add_argument("--state", type=Path, default=Path("/tmp/orders-state.pt"), help="where the float32 state goes")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)

    tokenizer = Tokenizer(HERE / "tokenizer.json")
    ids = {"bos_token_id": tokenizer.ids[BOS], "eos_token_id": tokenizer.ids[EOS]}
    c = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": len(tokenizer.ids),
         "hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64,
         "intermediate_size": 688, "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
         "rope_scaling": None, "max_position_embeddings": 512, "attention_bias": False, "mlp_bias": False,
         "tie_word_embeddings": True,         "torch_dtype": "bfloat16", **ids}
    write_json(HERE / "config.json", c)
    write_json(HERE / "generation_config.json", {**ids, "do_sample": False, "max_new_tokens": 128})

    model = Llama(c)
    if arguments.resume:
        model.load_state_dict(torch.load(arguments.resume))
    for layer in model.layers if not arguments.resume else []:
        nn.init.zeros_(layer.self_attn.o_proj.weight)
        nn.init.zeros_(layer.mlp.down_proj.weight)
    matrices = [p for name, p in model.named_parameters() if "_proj" in name]
    others = [p for name, p in model.named_parameters() if "_proj" not in name]
    optimizers = [Muon(matrices, lr=0.02), torch.optim.AdamW(others, lr=3e-3, betas=(0.9, 0.98), weight_decay=0.0)]
    peaks = [[group["lr"] * arguments.scale for group in optimizer.param_groups] for optimizer in optimizers]
    validation = list(itertools.islice(examples(tokenizer, "validation", 0), 200))

    log_file = open(HERE / "train.log", "a" if arguments.resume else "w")

    def log(line: str) -> None:
        print(line, flush=True)
        print(line, file=log_file, flush=True)

    parameters = sum(p.numel() for p in model.parameters())
    log(f"{parameters} parameters, torch {torch.__version__}, {arguments.threads} threads, {vars(arguments)}")
    begin, tokens, losses = time.time(), 0, []
    for step, (batch, chosen) in enumerate(batches(tokenizer, arguments.seed)):
        minutes = (time.time() - begin) / 60
        progress = min(1.0, step / arguments.steps if arguments.steps else minutes / arguments.minutes)
        factor = min(1.0, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * progress))
        if step % 250 == 0 or progress == 1:
            right = accuracy(model, c, validation)
            loss = sum(losses[-250:]) / max(1, len(losses[-250:]))
            log(f"step {step:5d}  tokens {tokens:9d}  loss {loss:.5f}  lr x {factor:.4f}  exact {right:.4f}  "
                f"{minutes:5.1f} min  {tokens / max(minutes, 1e-9) / 60:.0f} tokens/s")
            torch.save(model.state_dict(), arguments.state)
            save(model, HERE / "model.safetensors")
        if progress == 1:
            break
        for optimizer, lrs in zip(optimizers, peaks):
            for group, lr in zip(optimizer.param_groups, lrs):
                group["lr"] = lr * factor
            optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(batch, chosen)
        loss = F.cross_entropy(logits.float(), batch.roll(-1, 1)[chosen])
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        tokens += batch.numel()
        losses.append(loss.item())


if __name__ == "__main__":
    main()
