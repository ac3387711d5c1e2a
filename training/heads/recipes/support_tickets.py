"""support-tickets: the intent of a short message, out of scope included."""

import csv
import json
from collections import Counter
from pathlib import Path

from heads.data import Head, Record

NAME = "support-tickets"
BASE = "sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0)"
DATA = "CLINC150 (CC BY 3.0), BANKING77 (CC BY 4.0)"
LICENSE = "CC-BY-4.0"
EXAMPLES = (
    "please freeze my card, i think it was stolen",
    "how much is left on my checking account",
    "My top-up was declined twice today. Why?",
    "what is the airspeed of an unladen swallow",
)
OUT_OF_SCOPE = "oos"
DEV_EVERY = 10


def banking(category):
    """The labels of a bundle are unique, and both sets have an `exchange_rate`."""
    return f"banking_{category.lower().rstrip('?')}"


def heads(data):
    data = Path(data)
    domains = json.loads((data / "clinc150" / "domains.json").read_text())
    intents = sorted(name for names in domains.values() for name in names)
    categories = json.loads((data / "banking77" / "categories.json").read_text())
    return (
        Head("classes", "intent", (*intents, OUT_OF_SCOPE), smoothing=0.1),
        Head("classes", "banking_intent", tuple(sorted(map(banking, categories))), weight=0.6,
             smoothing=0.1),
    )


def read_clinc(path, split):
    content = json.loads(path.read_text(encoding="utf-8"))
    part = {"train": "train", "dev": "val", "test": "test"}[split]
    for number, (text, label) in enumerate(content[part] + content[f"oos_{part}"]):
        yield Record(f"clinc-{number}", text, {}, {"intent": label})


def read_banking(data, split):
    """The set has no dev part: every tenth training text of a category is held back as one."""
    with (data / f"{'test' if split == 'test' else 'train'}.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    seen = Counter()
    for number, row in enumerate(rows):
        seen[row["category"]] += 1
        held = seen[row["category"]] % DEV_EVERY == 0
        if split == "test" or held == (split == "dev"):
            yield Record(f"banking-{number}", row["text"], {}, {"banking_intent": banking(row["category"])})


def read(data, split):
    data = Path(data)
    return [*read_clinc(data / "clinc150" / "data_full.json", split),
            *read_banking(data / "banking77", split)]
