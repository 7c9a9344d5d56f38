"""English orders and their canonical JSON answers, from a seed.

An order names a customer, one to four items, perhaps a way of delivery and perhaps a note; the answer is one compact
JSON object with the keys in the order of schema.json. The splits are disjoint by construction: a checksum of the
*answer* decides where an order belongs, so that no wording of a held-out order is ever trained on.

    python3 corpus.py            writes schema.json and heldout.jsonl
    python3 corpus.py --show 20  prints training orders
"""
import argparse
import json
import random
import zlib
from pathlib import Path
from typing import Iterator, NamedTuple

HERE = Path(__file__).parent

NAMES = """Ada Adam Alice Amir Anna Ben Bruno Carla Chloe Clara Daniel David Diego Elena Emma Erik Eva Felix Finn
Grace Hana Hugo Ines Ivan Jack Jana Jonas Julia Karim Kate Lara Leo Liam Lily Lucas Luna Marco Maria Max Mia Mila
Nadia Nina Noah Nora Oliver Omar Oscar Paul Petra Rosa Ruth Sam Sara Sofia Tara Theo Tom Vera Victor Yara Zoe""".split()

# singular, or singular/plural where the plural is not formed with -s
PRODUCTS = [tuple(entry.split("/")) if "/" in entry else (entry, entry + "s") for entry in """\
apple, pear, banana, lemon, orange, melon, grape, cherry/cherries, strawberry/strawberries, peach/peaches, plum,
mango/mangoes, tomato/tomatoes, potato/potatoes, carrot, onion, cucumber, mushroom, egg, bagel, muffin, cookie,
sandwich/sandwiches, pancake, loaf/loaves, pie, cake, candle, lamp, light bulb, box/boxes, brush/brushes, basket,
bottle, bowl, cup, coffee mug, glass/glasses, plate, spoon, fork, knife/knives, dish/dishes, pan, tea towel, blanket,
pillow, chair, table, desk, shelf/shelves, clock, mirror, mouse/mice, keyboard, monitor, cable, battery/batteries,
camera, phone, notebook, pencil, pen, eraser, ruler, book, map, calendar, watch/watches, scarf/scarves, hat, glove,
sock, shirt, jacket, belt, umbrella, backpack, bicycle, ball, toy/toys, puppet, goose/geese, sheep/sheep,
cactus/cacti, rose, tulip, leaf/leaves""".replace("\n", " ").split(", ")]

NUMBERS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen twenty""".split()

MODES = ["standard", "express", "overnight", "pickup"]
# Each wording follows the items: ", express delivery", " by courier", ". Please send it overnight".
DELIVERY = {
    "standard": ["", "", "", ", standard delivery", " with standard shipping", " by regular mail",
                 ". Standard delivery is fine", ". No hurry"],
    "express": [", express delivery", ", express", " by express", " with express shipping", ". Please send it express",
                ". It is urgent", " as fast as possible", ". Use express delivery"],
    "overnight": [", overnight delivery", ", overnight", " with overnight shipping", " by tomorrow morning",
                  ". Please send it overnight", ". It must arrive tomorrow", ". We need it tomorrow"],
    "pickup": [", pickup", " for pickup", ", to be picked up", " to collect in the store", ". No delivery, pickup only",
               ". It will be collected", ". We will pick it up"],
}
# Some shapes name the delivery in front.
HEADINGS = {
    "standard": ["Standard order", "Standard delivery", "Regular order"],
    "express": ["Express order", "Express delivery", "Urgent order", "Urgent"],
    "overnight": ["Overnight order", "Overnight delivery", "For tomorrow"],
    "pickup": ["Pickup order", "Pickup", "To collect"],
}
NOTES = {
    "gift wrap": [", gift wrapped", ", as a gift", ". Please gift wrap it", ". It is a present", ". Wrap it as a gift"],
    "call first": [", call first", ". Please call first", ". Call before you come", ". Ring before delivery"],
    "fragile": [", fragile", ". Handle with care", ". Careful, it is fragile", ". Please pack it carefully"],
}
SHAPES = """{c} orders {i}
{c} orders {i}
{c} ordered {i}
{c} has ordered {i}
{c} wants {i}
{c} needs {i}
{c} buys {i}
{c} would like {i}
{c} would like to order {i}
{c} asks for {i}
{c} is ordering {i}
{i} for {c}
{i} to {c}
For {c}: {i}
For {c}, {i}
{c}: {i}
Order for {c}: {i}
An order from {c}: {i}
Please send {i} to {c}
Please send {c} {i}
Send {i} to {c}
Ship {i} to {c}
Could you send {c} {i}
Get {c} {i}
I need {i} for {c}
We need {i} for {c}
I would like {i}. My name is {c}
My name is {c} and I would like {i}
This is {c}. I need {i}
Hi, {c} here. I want {i}
Hello, I am {c} and I want to order {i}
Please put {i} on the account of {c}
Add {i} to the order of {c}
The customer is {c} and the order is {i}
Customer {c}, items: {i}""".split("\n")


class Order(NamedTuple):
    prompt: str
    answer: str


def canonical(customer: str, items: list[tuple[str, int]], delivery: str, note: str | None) -> str:
    order = {"customer": customer, "items": [{"name": n, "quantity": q} for n, q in items], "delivery": delivery}
    if note:
        order["note"] = note
    return json.dumps(order, separators=(",", ":"))


def phrase(rng: random.Random, singular: str, plural: str) -> tuple[str, int]:
    """One item in words, and its quantity."""
    kind = rng.random()
    if kind < 0.15:
        return rng.choice(["an " if singular[0] in "aeiou" else "a ", "one ", "1 "]) + singular, 1
    if kind < 0.25:
        words, quantity = rng.choice(
            [("a couple of", 2), ("a pair of", 2), ("half a dozen", 6), ("a dozen", 12), ("two dozen", 24)])
        return f"{words} {plural}", quantity
    if kind < 0.55:
        quantity = rng.randint(2, 20)
        return f"{NUMBERS[quantity]} {plural}", quantity
    quantity = rng.randint(2, 12) if kind < 0.75 else rng.randint(2, 99)
    return f"{quantity} {plural}", quantity


def join(rng: random.Random, parts: list[str]) -> str:
    if len(parts) == 1:
        return parts[0]
    last = rng.choice([" and ", " and ", " and ", " plus ", " as well as ", ", and " if len(parts) > 2 else " and "])
    between = rng.choice([", ", ", ", ", ", " and "])
    return between.join(parts[:-1]) + last + parts[-1]


def draw(rng: random.Random) -> Order:
    customer = rng.choice(NAMES)
    products = rng.sample(PRODUCTS, rng.choices([1, 2, 3, 4], [3, 4, 3, 2])[0])
    phrases = [phrase(rng, *forms) for forms in products]
    delivery = rng.choices(MODES, [4, 3, 3, 3])[0]
    note = rng.choice([*NOTES]) if rng.random() < 0.25 else None

    text = rng.choice(SHAPES).format(c=customer, i=join(rng, [words for words, _ in phrases]))
    if rng.random() < 0.2:
        if not text.startswith((customer, "I ")):
            text = text[0].lower() + text[1:]
        text = f"{rng.choice(HEADINGS[delivery])}: {text}"
    else:
        text += rng.choice(DELIVERY[delivery])
    if note:
        text += rng.choice(NOTES[note])
    text = text[0].upper() + text[1:] + rng.choices([".", "", "!"], [8, 1, 1])[0]
    items = [(forms[0], quantity) for forms, (_, quantity) in zip(products, phrases)]
    return Order(text, canonical(customer, items, delivery, note))


def orders(split: str, seed: int) -> Iterator[Order]:
    """An endless stream of one split: 1/64 of the answers are held out, 1/64 are for validation, the others train."""
    rng = random.Random(f"{split} {seed}")
    while True:
        order = draw(rng)
        bucket = zlib.crc32(order.answer.encode()) % 64
        if split == ("heldout" if bucket == 0 else "validation" if bucket == 1 else "train"):
            yield order


def schema() -> dict:
    item = {
        "type": "object",
        "properties": {
            "name": {"enum": sorted(forms[0] for forms in PRODUCTS)},
            "quantity": {"type": "integer", "minimum": 1, "maximum": 99},
        },
        "required": ["name", "quantity"],
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Order",
        "type": "object",
        "properties": {
            "customer": {"enum": NAMES},
            "items": {"type": "array", "items": item, "minItems": 1, "maxItems": 4},
            "delivery": {"enum": MODES},
            "note": {"enum": [*NOTES]},
        },
        "required": ["customer", "items", "delivery"],
        "additionalProperties": False,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--show", type=int)
    arguments = parser.parse_args()
    if arguments.show:
        for order, _ in zip(orders("train", 0), range(arguments.show)):
            print(order.prompt, order.answer, sep="\n  ")
    else:
        (HERE / "schema.json").write_text(json.dumps(schema(), indent=2) + "\n")
        with open(HERE / "heldout.jsonl", "w") as file:
            for order, _ in zip(orders("heldout", 0), range(200)):
                file.write(json.dumps(order._asdict()) + "\n")
