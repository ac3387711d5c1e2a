"""Measures a bundle on a split: strict micro F1 by label and in total, accuracy, calibration
error; prints JSON. `--compare` adds the same figures of model.fp32.onnx."""

import argparse
import json
import time
from collections import Counter
from pathlib import Path

import numpy as np

from heads import recipes
from heads.data import Head, flat
from heads.decode import decode, entity_candidates, head_columns, log_softmax, class_logits, words_of
from heads.infer import Split
from metrics import calibration_error, prf


def bundle_heads(bundle):
    return [Head(h["kind"], h["name"], tuple(label["name"] for label in h["labels"]))
            for h in bundle["heads"]]


def supervised(split, head):
    """(document, answers) of the records that the head has an answer for."""
    known = "classes" if head["kind"] == "classes" else "spans"
    return [(document, answer) for document, answer in zip(split.documents, split.answers)
            if head["name"] in getattr(document.record, known)]


def first_column(bundle, head):
    return sum(head_columns(h) for h in bundle["heads"][: bundle["heads"].index(head)]
               if h["kind"] == head["kind"])


def gold_spans(document, head):
    """Annotated spans the head can find; nested ones are left out."""
    names = {label["name"] for label in head["labels"]}
    return {span for span in flat(document.record.spans[head["name"]]) if span[0] in names}


def entity_report(bundle, head, split):
    """Strict: label, start and end must be those of the annotation."""
    names = [label["name"] for h in bundle["heads"] for label in h["labels"]]
    mine = {label["name"] for label in head["labels"]}
    hits, predicted, golds = Counter(), Counter(), Counter()
    rows, raw = [], []
    for document, answer in supervised(split, head):
        gold = gold_spans(document, head)
        golds.update(label for label, _, _ in gold)
        for found in decode(bundle, document, *answer):
            name = names[found.label]
            if name in mine:
                hit = (name, found.start, found.end) in gold
                predicted[name] += 1
                hits[name] += hit
                rows.append((found.confidence, hit))
        raw += [(1 / (1 + np.exp(-values[0])), hit) for _, values, hit in
                candidates(bundle, head, document, answer)]
    confidence, hit = (np.array(column, float) for column in zip(*rows)) if rows else (np.zeros(0),) * 2
    raw_confidence, raw_hit = (np.array(column, float) for column in zip(*raw))
    return {
        "micro": prf(hits.total(), predicted.total(), golds.total()),
        "ece": calibration_error(confidence, hit),
        "ece_uncalibrated": calibration_error(raw_confidence, raw_hit),
        "labels": {name: {"golds": golds[name], **prf(hits[name], predicted[name], golds[name])}
                   for name in sorted(mine)},
        "counts": {name: [hits[name], predicted[name], golds[name]] for name in sorted(mine)},
    }


def candidates(bundle, head, document, answer):
    """(label, features, hit) of every entity found, before any threshold."""
    at = first_column(bundle, head)
    logits = [row[at : at + head_columns(head)] for row in answer[0]]
    gold = gold_spans(document, head)
    words, out = words_of(head, document), []
    for label, a, b, values in entity_candidates(head, logits, words):
        span = (head["labels"][label]["name"], int(document.starts[words[a][0]]),
                int(document.ends[words[b - 1][1] - 1]))
        out.append((label, values, span in gold))
    return out


def class_rows(bundle, head, split):
    """(mean logits, index of the right label) of the head's texts."""
    at, width = first_column(bundle, head), head_columns(head)
    names = [label["name"] for label in head["labels"]]
    return [(class_logits([row[at : at + width] for row in answer[1]]),
             names.index(document.record.classes[head["name"]]))
            for document, answer in supervised(split, head)]


def class_report(bundle, head, split, left_out=None):
    """Accuracy of all texts; of those outside `left_out` (a label) and the recall of that one."""
    rows = class_rows(bundle, head, split)
    z, truth = np.array([row for row, _ in rows]), np.array([label for _, label in rows])
    out = {"texts": len(rows)}
    for name, temperature in (("ece_uncalibrated", 1.0), ("ece", head["temperature"])):
        p = np.exp([log_softmax(list(row / temperature)) for row in z])
        out[name] = calibration_error(p.max(1), p.argmax(1) == truth)
    best = z.argmax(1)
    out["accuracy"] = float((best == truth).mean())
    names = [label["name"] for label in head["labels"]]
    golds, predicted, hits = (np.bincount(x, minlength=len(names))
                              for x in (truth, best, truth[best == truth]))
    out["macro_f1"] = float(np.mean([prf(hits[k], predicted[k], golds[k])["f1"]
                                     for k in np.flatnonzero(golds)]))
    if left_out in names:
        other, sure = names.index(left_out), p.max(1) >= head.get("review_below", 0.0)
        inside = truth != other
        out["in_scope_accuracy"] = float((best == truth)[inside].mean())
        out["out_of_scope_recall"] = float((best == other)[~inside].mean())
        # What a pipeline does that sends unsure answers to review.
        out["in_scope_sure"] = float((sure & (best != other))[inside].mean())
        out["in_scope_sure_accuracy"] = float((best == truth)[inside & sure & (best != other)].mean())
        out["out_of_scope_caught"] = float(((best == other) | ~sure)[~inside].mean())
    if len(names) <= 30:
        out["labels"] = {name: {"golds": int(golds[k]), **prf(hits[k], predicted[k], golds[k])}
                         for k, name in enumerate(names)}
    return out


def report(bundle, split, left_out=None):
    out = {}
    for head in bundle["heads"]:
        if supervised(split, head):
            out[head["name"]] = (entity_report(bundle, head, split) if head["kind"] == "entities"
                                 else class_report(bundle, head, split, left_out))
    return out


def read_bundle(folder, path="bundle.json"):
    return json.loads((Path(folder) / path).read_text(encoding="utf-8"))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--split", choices=("dev", "test"), default="dev")
    parser.add_argument("--compare", action="store_true")
    args = parser.parse_args()
    recipe = recipes.load(args.recipe)
    bundle = read_bundle(args.bundle)
    records = recipe.read(args.data, args.split)
    out = {"split": args.split, "revision": bundle["revision"]}
    for name, model in (("int8", "model.onnx"), ("fp32", "model.fp32.onnx"))[: 1 + args.compare]:
        began = time.process_time()
        split = Split(args.bundle, bundle["window"], records, bundle_heads(bundle), model)
        texts_a_second = len(records) / (time.process_time() - began)
        out[name] = {"texts_by_cpu_second": round(texts_a_second),
                     "heads": report(bundle, split, getattr(recipe, "OUT_OF_SCOPE", None))}
    print(json.dumps(out, indent=1, default=float))


if __name__ == "__main__":
    main()
