"""Writes decoder_fixture.json: short excerpts with their logits and what the decoder makes of
them, for the worker's tests."""

import argparse
import json
from pathlib import Path

import numpy as np

import decode
from data import load_tokenizer, read_labels, read_split
from gate import Gate
from infer import Scorer
from sentences import token_ranges

# Columns that say something about an excerpt are kept, the others are filled with this logit.
QUIET = -9.0
LENGTH = 900
# Long enough that a gate leaves something out.
GATED_LENGTH = 9000


def excerpts(records):
    """The opening of one contract and a place with clauses of several labels in another."""
    first = records[1]
    yield first["id"], first["text"][:LENGTH]
    best = max(((len({s["label"] for s in r["spans"] if a <= s["start"] and s["end"] <= a + LENGTH}),
                 -a, k) for k, r in enumerate(records[2:], 2)
                for a in range(LENGTH, min(len(r["text"]) - LENGTH, 40000), 450)))
    record, start = records[best[2]], -best[1]
    yield record["id"], record["text"][start : start + LENGTH]


def gated(record, tokenizer, gate, window):
    """What the gate leaves of the beginning of a contract."""
    text = record["text"][:GATED_LENGTH]
    encoding = tokenizer.encode(text, add_special_tokens=False)
    starts, _ = zip(*encoding.offsets)
    ranges = token_ranges(text, starts)
    places = gate.places(encoding.ids, ranges, window["tokens_max"] - 2, window["stride"])
    return {"source": record["id"], "text": text, "places": places}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--bundle", required=True)
    args = parser.parse_args()
    folder = Path(args.bundle)
    bundle = json.loads((folder / "bundle.json").read_text())
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    window = bundle["window"]
    scorer = Scorer(folder / "model.onnx", window["tokens_max"], window["stride"])
    names = read_labels(args.data)
    cases = []
    records = read_split(args.data, "dev")
    for source, text in excerpts(records):
        encoding = tokenizer.encode(text, add_special_tokens=False)
        starts, ends = zip(*encoding.offsets)
        # Three decimals keep the file small; the decoder runs on the rounded numbers, in the single
        # precision in which a model gives them, so that the worker's must agree to the last digits.
        logits = np.round(scorer.document(encoding.ids), 3).astype(np.float32).astype(np.float64)
        loud = [k for k in range(len(names)) if logits[:, k].max() > -3.0]
        full = np.full_like(logits, QUIET)
        full[:, loud] = logits[:, loud]
        spans, flags = decode.decode(full.tolist(), text, starts, ends, bundle)
        cases.append({
            "source": source, "text": text,
            "ids": encoding.ids, "starts": list(starts), "ends": list(ends),
            "sentences": token_ranges(text, starts),
            "quiet_logit": QUIET,
            "logits": {str(k): np.round(full[:, k], 3).tolist() for k in loud},
            "spans": [{"label": s.label, "name": names[s.label], "start": s.start, "end": s.end,
                       "confidence": s.confidence, "text": text[s.start : s.end]}
                      for s in spans],
            "flags": flags,
        })
    content = {"exact": True, "decoder": bundle["decoder"], "heads": bundle["heads"], "cases": cases}
    gate = Gate.of(folder, bundle)
    if gate is not None:
        content["gated"] = [gated(record, tokenizer, gate, window) for record in records[3:5]]
    (folder / "decoder_fixture.json").write_text(json.dumps(content) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
