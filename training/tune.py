"""Fits the decoder's parameters on the dev split and writes bundle.json beside the model.

Nothing here sees the test split. Figures for dev are taken across five folds of contracts, so
that no contract is judged by parameters fitted on it (phrase settings aside).
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

import decode
from data import CLS, PAD, PHRASE_LABELS, SEP, load_documents, load_tokenizer, read_labels
from infer import PAD_TO, Scorer, cached_logits
from metrics import average_precision, match

FLOOR = -4.0
MAX_SPANS = {"Document Name": (1, 2), "Agreement Date": (1, 2, 3), "Effective Date": (1, 2, 3),
             "Parties": (50,)}
FOLDS = 5


class Split:
    """A split with its logits, ready to be decoded many times."""

    def __init__(self, documents, logits, labels):
        self.documents, self.labels = documents, labels
        self.starts = [d.starts.tolist() for d in documents]
        self.ends = [d.ends.tolist() for d in documents]
        self.ranges = [decode.sentences(d.text, s) for d, s in zip(documents, self.starts)]
        self.columns = [np.asarray(x, np.float64).T for x in logits]
        self.golds = [[[d.text[a:b] for at, a, b in d.gold if at == label]
                       for label in range(len(labels))] for d in documents]
        self.count = np.array([sum(len(g[label]) for g in self.golds) for label in range(len(labels))])

    def candidates(self, label, params):
        """[(span, features)] by document."""
        out = []
        for i, document in enumerate(self.documents):
            logits = self.columns[i][label].tolist()
            probabilities = [decode.sigmoid(x) for x in logits]
            out.append(decode.candidates(label, params, FLOOR, document.text, self.starts[i],
                                         self.ends[i], self.ranges[i], logits, probabilities))
        return out

    def hits(self, label, params, candidates, confidence):
        """(document, hit, features) after selection; confidence: features -> number."""
        rows = []
        for i, found in enumerate(candidates):
            values = {}
            for span, features in found:
                span.confidence = confidence(i, span, features)
                values[id(span)] = features
            kept = decode.select(params, self.documents[i].text, [span for span, _ in found])
            kept = sorted(kept, key=lambda s: (-s.confidence, s.start))
            texts = [self.documents[i].text[s.start : s.end] for s in kept]
            for span, hit in zip(kept, match(texts, self.golds[i][label])):
                rows.append((i, hit, values[id(span)], span.confidence))
        return rows


def area(scores, hits, golds):
    order = np.argsort(-np.asarray(scores), kind="stable")
    return average_precision([(scores[k], hits[k], 1 - hits[k]) for k in order], golds)[0]


def rank(_, span, features):
    """Order of candidates before anything is fitted: strong ones, early ones."""
    return span.base - 0.5 * features[4]


def tune_phrase(split, label, name):
    """The run settings with the best average precision of that label alone."""
    best = (-1.0, None)
    for extend in (0.05, 0.1, 0.2, 0.3, 0.4, 0.5):
        for gap in (0, 1, 2):
            params = {"unit": "phrase", "extend": extend, "seed": extend, "gap": gap}
            candidates = split.candidates(label, params)
            for params["max_spans"] in MAX_SPANS[name]:
                rows = split.hits(label, params, candidates, rank)
                value = area([r[3] for r in rows], [r[1] for r in rows], split.count[label])
                if value > best[0]:
                    best = (value, dict(params))
    return best[1]


class Calibrator:
    """Logistic regression with weights shared by a group of labels and one bias a label, which
    is drawn towards the shared one where a label has few examples."""

    def __init__(self, features, labels, targets, spread):
        x = np.asarray(features, np.float64)
        self.mean, self.scale = x.mean(0), x.std(0) + 1e-9
        self.labels = sorted(set(labels))
        self.spread = spread
        fitted = LogisticRegression(C=1.0, max_iter=1000).fit(self.design(x, labels), targets)
        k = x.shape[1]
        self.weights = fitted.coef_[0, :k] / self.scale
        shared = fitted.intercept_[0] - float(self.weights @ self.mean)
        self.bias = {label: shared + float(fitted.coef_[0, k + j]) * spread
                     for j, label in enumerate(self.labels)}
        self.shared = shared

    def design(self, x, labels):
        one_hot = np.zeros((len(x), len(self.labels)))
        for row, label in enumerate(labels):
            one_hot[row, self.labels.index(label)] = self.spread
        return np.hstack([(x - self.mean) / self.scale, one_hot])

    def score(self, features, label):
        return self.bias.get(label, self.shared) + float(self.weights @ np.asarray(features))


def fit_groups(groups, rows, keep):
    """{label: Calibrator} from the rows of the contracts in `keep`."""
    out = {}
    for group in groups:
        chosen = [(r[2], label, r[1]) for label in group for r in rows[label] if keep(r[0])]
        x, labels, y = zip(*chosen)
        fitted = Calibrator(x, labels, y, 0.5)
        out.update({label: fitted for label in group})
    return out


def best_threshold(confidences, hits, golds):
    """(F1, threshold) of the best cut, half-way to the next candidate."""
    order = np.argsort(-confidences, kind="stable")
    found = np.cumsum(hits[order])
    f1 = 2 * found / (np.arange(1, len(order) + 1) + golds)
    k = int(np.argmax(f1))
    below = confidences[order[k + 1]] if k + 1 < len(order) else 0.0
    return float(f1[k]), float((confidences[order[k]] + below) / 2)


def thresholds(labels, scores, hits, owners, golds):
    """Per label: half-way between its own best cut and everyone's, everyone's if it is rare."""
    everyone = best_threshold(scores, hits, golds.sum())[1]
    out = []
    for label in range(labels):
        mine = owners == label
        own = everyone
        if golds[label] >= 10 and hits[mine].sum() >= 5:
            own = 0.5 * everyone + 0.5 * best_threshold(scores[mine], hits[mine], golds[label])[1]
        out.append(round(own, 4))
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--bundle", required=True, help="folder with model.onnx and tokenizer.json")
    parser.add_argument("--revision", required=True)
    parser.add_argument("--stride", type=int, default=190)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    bundle = Path(args.bundle)
    names = read_labels(args.data)
    documents = load_documents(args.data, "dev", load_tokenizer(bundle / "tokenizer.json"), names)
    scorer = Scorer(bundle / "model.onnx", args.tokens, args.stride, args.threads)
    split = Split(documents, cached_logits(scorer, documents, bundle / "model.onnx"), names)
    n = len(names)

    # Fitting sees every distinct phrase, also those beyond max_spans: with only the best one
    # of each contract there may be no wrong one to learn from.
    entries, rows, wide = [], [], []
    for label, name in enumerate(names):
        phrase = name in PHRASE_LABELS
        params = tune_phrase(split, label, name) if phrase else {"unit": "sentence"}
        entries.append({"name": name, **params})
        candidates = split.candidates(label, params)
        rows.append(split.hits(label, params, candidates, rank))
        wide.append(split.hits(label, {**params, "max_spans": 50}, candidates, rank))
    phrase = [label for label in range(n) if names[label] in PHRASE_LABELS]
    groups = [[label for label in range(n) if label not in phrase], *([label] for label in phrase)]

    final = fit_groups(groups, wide, lambda i: True)
    flat = [(label, r) for label in range(n) for r in rows[label]]
    scores = np.zeros(len(flat))
    for fold in range(FOLDS):
        held = fit_groups(groups, wide, lambda i: i % FOLDS != fold)
        for k, (label, r) in enumerate(flat):
            if r[0] % FOLDS == fold:
                scores[k] = held[label].score(r[2], label)
    hits = np.array([r[1] for _, r in flat])
    owners = np.array([label for label, _ in flat])
    print(json.dumps({"span_aupr_cross_validated": round(area(scores, hits, split.count.sum()), 4)}))
    confidences = 1 / (1 + np.exp(-scores))
    cuts = thresholds(n, confidences, hits, owners, split.count)

    truth = np.array([[bool(g[label]) for label in range(n)] for g in split.golds])
    raw = np.array([[decode.flag_score(entries[label], split.ranges[i], c[label].tolist(),
                                       [decode.sigmoid(x) for x in c[label].tolist()])
                     for label in range(n)] for i, c in enumerate(split.columns)])
    pairs = [(i, label) for label in range(n) for i in range(len(documents))]
    flag_rows = [[(i, int(truth[i, label]), (raw[i, label],)) for i in range(len(documents))]
                 for label in range(n)]
    flag_final = fit_groups([list(range(n))], flag_rows, lambda i: True)
    flag_scores = np.zeros(len(pairs))
    for fold in range(FOLDS):
        held = fit_groups([list(range(n))], flag_rows, lambda i: i % FOLDS != fold)
        for k, (i, label) in enumerate(pairs):
            if i % FOLDS == fold:
                flag_scores[k] = held[label].score((raw[i, label],), label)
    flag_hits = np.array([int(truth[i, label]) for i, label in pairs])
    flag_cuts = thresholds(n, 1 / (1 + np.exp(-flag_scores)), flag_hits,
                           np.array([label for _, label in pairs]), truth.sum(0))

    for label, entry in enumerate(entries):
        entry["threshold"] = cuts[label]
        entry["calibration"] = {"bias": round(final[label].bias[label], 6),
                                "weights": [round(float(w), 6) for w in final[label].weights]}
        entry["flag_threshold"] = flag_cuts[label]
        entry["flag_calibration"] = {"a": round(float(flag_final[label].weights[0]), 6),
                                     "b": round(flag_final[label].bias[label], 6)}
    digest = {name: hashlib.sha256((bundle / name).read_bytes()).hexdigest()
              for name in ("model.onnx", "tokenizer.json")}
    content = {
        "format": 2, "name": "contracts", "revision": args.revision, "language": ["en"],
        "window": {"tokens_max": args.tokens, "stride": args.stride, "pad_to": PAD_TO,
                   "cls": CLS, "sep": SEP, "pad": PAD},
        "decoder": {"version": decode.VERSION},
        "heads": [{"kind": "multilabel", "name": "clauses", "floor": FLOOR, "labels": entries}],
        "files": digest,
        "base": "sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0)",
        "data": "CUAD v1, The Atticus Project (CC BY 4.0)", "license": "CC-BY-4.0", "metrics": {},
    }
    (bundle / "bundle.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
