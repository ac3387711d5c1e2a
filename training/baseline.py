"""Linear baseline: TF-IDF of each sentence, one logistic regression a label, the same figures.

A sentence is positive if an annotated span covers more than half of it, or lies inside it for
the labels whose answers are phrases (there the whole sentence is the prediction, and seldom
similar enough to count).
"""

import argparse
import json

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from data import PHRASE_LABELS, read_labels, read_split
from metrics import SpanScore, flag_ap, precision_at_recall
from sentences import breaks


def sentences_of(text):
    edges = [0, *breaks(text), len(text)]
    return [(a, b) for a, b in zip(edges, edges[1:]) if text[a:b].strip()]


def targets_of(record, ranges, labels):
    y = np.zeros((len(ranges), len(labels)), bool)
    for span in record["spans"]:
        label = labels.index(span["label"])
        for k, (a, b) in enumerate(ranges):
            shared = min(b, span["end"]) - max(a, span["start"])
            if shared > 0 and (2 * shared > b - a or span["label"] in PHRASE_LABELS):
                y[k, label] = True
    return y


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--split", nargs="+", default=["dev"])
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    labels = read_labels(args.data)
    rng = np.random.default_rng(args.seed)

    train = read_split(args.data, "train")
    texts, ys = [], []
    for record in train:
        ranges = sentences_of(record["text"])
        texts += [record["text"][a:b] for a, b in ranges]
        ys.append(targets_of(record, ranges, labels))
    y = np.concatenate(ys)
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=3, max_features=60000, sublinear_tf=True)
    x = vectorizer.fit_transform(texts)
    answered = np.flatnonzero(y.any(1))
    others = np.flatnonzero(~y.any(1))
    others = rng.choice(others, min(len(others), 2 * len(answered)), replace=False)
    models = []
    for label in range(len(labels)):
        # Sentences of other labels are the hard negatives; all positives stay.
        rows = np.concatenate([np.flatnonzero(y[:, label]),
                               answered[~y[answered, label]], others])
        model = LogisticRegression(C=10.0, solver="liblinear", random_state=args.seed)
        models.append(model.fit(x[rows], y[rows, label]))
    weights = np.vstack([m.coef_ for m in models])
    bias = np.array([m.intercept_[0] for m in models])

    for split in args.split:
        records = read_split(args.data, split)
        spans = SpanScore(labels)
        flags = np.zeros((len(records), len(labels)))
        truth = np.zeros((len(records), len(labels)), bool)
        for i, record in enumerate(records):
            text = record["text"]
            ranges = sentences_of(text)
            scores = vectorizer.transform([text[a:b] for a, b in ranges]) @ weights.T + bias
            flags[i] = scores.max(0)
            gold = [(labels.index(s["label"]), text[s["start"] : s["end"]]) for s in record["spans"]]
            truth[i, [label for label, _ in gold]] = True
            spans.add(i, gold, [(label, text[ranges[k][0] : ranges[k][1]].strip(), scores[k, label])
                                for k, label in zip(*np.nonzero(scores > -4.0))])
        area, curve = spans.aupr()
        print(json.dumps({
            "split": split, "model": "linear", "flag_map": flag_ap(flags, truth)[0],
            "span_aupr_one_to_one": area, "span_aupr_authors": spans.aupr(authors=True)[0],
            "span_p_at_80r": precision_at_recall(curve),
        }, default=float))


if __name__ == "__main__":
    main()
