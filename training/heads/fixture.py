"""Worked decoder cases: logits in, findings out; written beside the bundle as
decoder_fixture.json for the worker's tests."""

import argparse
import json
from pathlib import Path

import numpy as np

from heads import recipes
from heads.data import Record
from heads.decode import decode, head_columns
from heads.evaluate import bundle_heads, read_bundle
from heads.infer import Split


def case(bundle, source, document, answer):
    logits, windows, runs = answer
    # Three decimals keep the file small; the decoder runs on the rounded numbers.
    logits = None if logits is None else np.round(np.asarray(logits, np.float64), 3).tolist()
    windows = [np.round(np.asarray(row, np.float64), 3).tolist() for row in windows]
    names = [label["name"] for head in bundle["heads"] for label in head["labels"]]
    text = document.record.text
    return {
        "source": source, "text": text, "ids": document.ids.tolist(),
        "starts": document.starts.tolist(), "ends": document.ends.tolist(),
        "words": [list(word) for word in document.words], "logits": logits,
        "windows": windows, "runs": [list(run) for run in runs],
        "findings": [
            {"label": f.label, "name": names[f.label], "start": f.start, "end": f.end,
             "confidence": round(f.confidence, 9), "text": text[f.start : f.end]}
            for f in decode(bundle, document, logits, windows, runs)],
    }


def made_up(bundle, document, answer):
    """(source, answer) where a decoder errs easily: equal logits, and inner tags at the start and
    after another label's."""
    tokens, windows, runs = len(document.ids), answer[1], answer[2]
    entities = [head_columns(h) for h in bundle["heads"] if h["kind"] == "entities"]
    width = sum(entities)
    flat = None if answer[0] is None else np.zeros((tokens, width))
    yield "made: all logits equal", (flat, [np.zeros_like(row) for row in windows], runs)
    if not entities:
        return
    inner = np.full((tokens, width), -4.0)
    inner[:, 0], inner[0, 2] = -2.0, 5.0
    for token in range(1, tokens):
        inner[token, 1] = 3.0
        inner[token, 4 if token % 4 == 0 else 2] = 3.5 if token % 4 == 0 else 6.0
    yield "made: inner tags without a beginning", (inner, windows, runs)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--bundle", required=True)
    args = parser.parse_args()
    examples = recipes.load(args.recipe).EXAMPLES
    bundle = read_bundle(args.bundle)
    records = [Record(f"example-{k}", text) for k, text in enumerate(examples)]
    # Longer than a window, so that tokens change hands.
    records.append(Record("long", " ".join(examples * (1 + bundle["window"]["tokens_max"] // 40))))
    split = Split(args.bundle, bundle["window"], records, bundle_heads(bundle))
    cases = [case(bundle, f"written for this file, {document.record.id}", document, answer)
             for document, answer in zip(split.documents, split.answers)]
    cases += [case(bundle, source, split.documents[0], answer)
              for source, answer in made_up(bundle, split.documents[0], split.answers[0])]
    content = {"decoder": bundle["decoder"], "window": bundle["window"], "heads": bundle["heads"],
               "cases": cases}
    (Path(args.bundle) / "decoder_fixture.json").write_text(json.dumps(content) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
