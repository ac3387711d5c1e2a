"""Fits calibration and thresholds on dev and writes bundle.json beside the model."""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression

from decode import VERSION, linear, sigmoid
from heads import recipes
from heads.data import chosen
from heads.decode import log_softmax
from heads.evaluate import candidates, class_rows, gold_spans, report, supervised
from heads.infer import Split
from metrics import prf

# A label with fewer predictions on dev shares the head's threshold.
ENOUGH = 100


def draft(heads, window, name, revision):
    """A bundle with neutral parameters, to read candidates with."""
    def entry(head):
        labels = [{"name": label} for label in head.labels]
        if head.kind == "classes":
            return {"kind": "classes", "name": head.name, "temperature": 1.0, "labels": labels}
        words = {"words": head.words} if head.words else {}
        return {"kind": "entities", "name": head.name, **words,
                "calibration": {"bias": 0.0, "weights": [1.0, 0.0, 0.0]},
                "labels": [{**label, "threshold": 0.0} for label in labels]}

    return {"format": 2, "name": name, "revision": revision, "language": ["en"], "window": window,
            "decoder": {"version": VERSION}, "heads": [entry(head) for head in heads]}


def best_threshold(confidence, hit, golds):
    """Lowest threshold of the best F1, halfway to the next weaker prediction."""
    order = np.argsort(-confidence, kind="stable")
    found = np.cumsum(hit[order])
    f1 = 2 * found / (np.arange(1, len(order) + 1) + golds)
    best = int(np.flatnonzero(f1 == f1.max())[-1])
    lower = confidence[order[best + 1]] if best + 1 < len(order) else 0.0
    return round(float((confidence[order[best]] + lower) / 2), 4)


def tune_entities(bundle, head, split):
    rows = [row for document, answer in supervised(split, head)
            for row in candidates(bundle, head, document, answer)]
    golds = [label for document, _ in supervised(split, head)
             for label, _, _ in gold_spans(document, head)]
    labels, features, hit = zip(*rows)
    labels, hit = np.array(labels), np.array(hit)
    fitted = LogisticRegression(C=1.0, max_iter=1000).fit(np.array(features), hit)
    head["calibration"] = {"bias": round(float(fitted.intercept_[0]), 6),
                           "weights": [round(float(w), 6) for w in fitted.coef_[0]]}
    score = head["calibration"]
    confidence = np.array([sigmoid(linear(score["bias"], score["weights"], f)) for f in features])
    common = best_threshold(confidence, hit, len(golds))
    for k, label in enumerate(head["labels"]):
        mine, name = labels == k, label["name"]
        label["threshold"] = common if mine.sum() < ENOUGH else best_threshold(
            confidence[mine], hit[mine], golds.count(name))


def tune_classes(bundle, head, split, left_out):
    rows = class_rows(bundle, head, split)
    z, truth = np.array([row for row, _ in rows]), np.array([label for _, label in rows])

    def loss(log_temperature):
        p = np.array([log_softmax(list(row)) for row in z / np.exp(log_temperature)])
        return -p[np.arange(len(truth)), truth].mean()

    head["temperature"] = round(float(np.exp(minimize_scalar(loss, bounds=(-2, 2), method="bounded").x)), 4)
    names = [label["name"] for label in head["labels"]]
    if left_out in names:
        p = np.exp([log_softmax(list(row)) for row in z / head["temperature"]])
        head["review_below"] = review_threshold(p, truth, names.index(left_out))


def review_threshold(p, truth, other):
    """The confidence under which an answer should go to review: the one with the best F1 of
    telling out-of-scope texts, which may also be recognised by their class."""
    score = np.where(p.argmax(1) == other, 0.0, p.max(1))
    outside = truth == other
    best = (0.0, 0.0)
    for cut in np.arange(0.05, 1.0, 0.01):
        told = score < cut
        best = max(best, (prf((told & outside).sum(), told.sum(), outside.sum())["f1"], -cut))
    return round(-best[1], 2)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--bundle", required=True, help="folder from heads.export")
    parser.add_argument("--revision", required=True)
    parser.add_argument("--heads", help="as in heads.train")
    args = parser.parse_args()
    recipe, folder = recipes.load(args.recipe), Path(args.bundle)
    heads, left_out = chosen(recipe.heads(args.data), args.heads), getattr(recipe, "OUT_OF_SCOPE", None)
    fixed = getattr(recipe, "THRESHOLDS", {})
    window = json.loads((folder / "window.json").read_text())
    bundle = draft(heads, window, recipe.NAME, args.revision)
    split = Split(folder, window, recipe.read(args.data, "dev"), heads)
    for head in bundle["heads"]:
        if not supervised(split, head):
            raise SystemExit(f"tuning {head['name']}: dev has no text for it")
        if head["kind"] == "entities":
            tune_entities(bundle, head, split)
            for label in head["labels"] if head["name"] in fixed else ():
                label["threshold"] = fixed[head["name"]]
        else:
            tune_classes(bundle, head, split, left_out)
    bundle["files"] = {name: digest(folder / name) for name in ("model.onnx", "tokenizer.json")}
    bundle.update(base=recipe.BASE, data=recipe.DATA, license=recipe.LICENSE)
    (folder / "bundle.json").write_text(json.dumps(bundle, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report(bundle, split, left_out), indent=1, default=float))


if __name__ == "__main__":
    main()
