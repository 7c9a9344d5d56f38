"""Writes orders.safetensors, the reference of models/orders, and prints its accuracy on the held-out prompts.

    /usr/bin/python3 tests/reference/orders.py

It shares no code with train.py. Eight short prompts of differing lengths are recorded in full, as many tokens as a
megabyte holds, and greedy answers to 32.
"""
import json
from pathlib import Path

import torch

import llama

HERE = Path(__file__).parent
FOLDER = HERE.parents[1] / "models" / "orders"
DEMO = ("Mia orders 3 apples and two pears, express delivery.",
        '{"customer":"Mia","items":[{"name":"apple","quantity":3},{"name":"pear","quantity":2}],"delivery":"express"}')


@torch.no_grad()
def main() -> None:
    heldout = [(line["prompt"], line["answer"]) for line in map(json.loads, open(FOLDER / "heldout.jsonl"))]
    config, weights = llama.load(FOLDER)
    tokenizer, model = llama.Tokenizer(FOLDER), llama.Llama(config, weights)

    def exact(prompt: str, answer: str) -> bool:
        """Greedy decoding gives the answer exactly when each of its tokens is the likeliest after those before it."""
        head, tail = tokenizer.prompt(prompt), [*tokenizer.encode(answer), config["eos_token_id"]]
        return model([*head, *tail])[1][len(head) - 1:-1].argmax(-1).tolist() == tail

    wrong = [prompt for prompt, answer in heldout if not exact(prompt, answer)]
    print(f"{len(heldout) - len(wrong)} of {len(heldout)} held-out answers are exact", *wrong, sep="\n  wrong: ")
    print(f"the demo is {'exact' if exact(*DEMO) else 'WRONG'}")

    prompts = sorted((prompt for prompt, _ in heldout), key=lambda prompt: len(tokenizer.prompt(prompt)))[:24:3]
    others = [prompt for prompt, _ in heldout if prompt not in prompts]
    llama.write_reference(HERE / "orders.safetensors", FOLDER, "orders", prompts, [*prompts, *others[:24]], 128, 1e-3)


if __name__ == "__main__":
    main()
