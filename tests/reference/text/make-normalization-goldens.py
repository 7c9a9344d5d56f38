"""Writes normalization.json: Unicode normalisation by Python's unicodedata, which shares no code with ICU or with Adze.

The digests cover every character that this Python's Unicode version assigns; the cases are tricky or random strings.
"""

import hashlib
import json
import pathlib
import random
import unicodedata

FORMS = ["NFC", "NFD", "NFKC", "NFKD"]
assigned = [cp for cp in range(0x110000) if unicodedata.category(chr(cp)) not in ("Cn", "Cs", "Co")]

ranges = []
for cp in assigned:
    if ranges and ranges[-2] + ranges[-1] == cp:
        ranges[-1] += 1
    else:
        ranges += [cp, 1]

rng = random.Random(5)
marks = [cp for cp in assigned if unicodedata.combining(chr(cp))]
changing = [cp for cp in assigned if unicodedata.normalize("NFKD", chr(cp)) != chr(cp)]
parts = sorted({c for cp in changing for c in unicodedata.normalize("NFKD", chr(cp))})
texts = ["", "plain", "e\u0301", "\u0301e", "\u00e9\u0316", "\u0344", "q\u0307\u0323", "\u1e9b\u0323", "\u0958", "\u2126", "\uac01",
         "\u1100\u1161\u11a8", "\u1100\u1161\u11a7", "\uac00\u11a8", "\uac01\u11a8", "\u1112\u1161\u11ab\u11ab", "\u0b47\u0300\u0b3e",
         "\u1100\u0300\u1161", "a\u05ae\u0300\u0315b", "\ufb1d\u05b4", "\U0001d15e\U0001d16d", "\U00011099\U000110ba", "\u0cc6\u0cc2\u0cd5",
         "\u115b9\u115af", "\ufdfa", "\u3316", "\U0002f800", "a\u0300" * 40, "\u0316\u0301" * 20]
for _ in range(250):
    texts.append("".join(chr(rng.choice(marks)) if rng.random() < 0.4 else rng.choice(parts) if rng.random() < 0.6
                         else chr(rng.choice(changing)) for _ in range(rng.randint(1, 12))))

rows = [[text, *(unicodedata.normalize(form, text) for form in FORMS)] for text in texts]
digests = {}
for form in FORMS:
    digest = hashlib.sha256()
    for cp in assigned:
        digest.update(unicodedata.normalize(form, chr(cp)).encode() + b"\n")
    digests[form] = digest.hexdigest()

golden = {"unicode": unicodedata.unidata_version, "forms": FORMS, "assigned": ranges, "digests": digests, "cases": rows}
path = pathlib.Path(__file__).with_name("normalization.json")
path.write_text(json.dumps(golden, separators=(",", ":")).replace("]],", "]],\n").replace('"],["', '"],\n["') + "\n")
print(path.name, path.stat().st_size)
