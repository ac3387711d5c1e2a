"""The two figures: average precision of the flag, and the area under precision/recall of spans."""

from collections import defaultdict

import numpy as np
from sklearn.metrics import average_precision_score

MIN_POSITIVES = 3


def word_set(text):
    """Lower-case words as CUAD's scoring takes them: . , ; : dropped, / a space."""
    text = text.lower().replace("/", " ")
    return frozenset(text.translate(str.maketrans("", "", ".,;:")).split())


def jaccard(a, b):
    union = len(a | b)
    return len(a & b) / union if union else 0.0


def flag_ap(scores, truth):
    """scores, truth: documents x labels. Mean of the labels with enough positives, and all."""
    by_label = {}
    for label in range(truth.shape[1]):
        if truth[:, label].any():
            by_label[label] = float(average_precision_score(truth[:, label], scores[:, label]))
    counted = [ap for label, ap in by_label.items() if truth[:, label].sum() >= MIN_POSITIVES]
    return float(np.mean(counted)), by_label


def average_precision(rows, golds):
    """rows: (score, answers newly found, whether wrong) best first; ties count together."""
    found = wrong = 0
    area, recall, curve = 0.0, 0.0, []
    for i, (score, new, miss) in enumerate(rows):
        found += new
        wrong += miss
        if i + 1 < len(rows) and rows[i + 1][0] == score:
            continue
        precision = found / max(1, found + wrong)
        area += precision * (found / golds - recall)
        recall = found / golds
        curve.append((score, precision, recall))
    return area, curve


def match(texts, answers):
    """0/1 for each text, best first: whether it takes an unused answer."""
    free = {i: word_set(answer) for i, answer in enumerate(answers)}
    hits = []
    for text in texts:
        words = word_set(text) if free else frozenset()
        value, i = max(((jaccard(words, other), -i) for i, other in free.items()), default=(0, 0))
        if value >= 0.5:
            del free[-i]
        hits.append(int(value >= 0.5))
    return hits


class SpanScore:
    """Predicted against annotated spans, compared as texts inside one contract and label.

    one_to_one: predictions in order of confidence take the best unused answer with a word
    Jaccard of at least 0.5. authors: as the data set's own scoring, any number of predictions
    may match an answer and the other way round, and a Parties answer also counts if it is
    contained in the prediction.
    """

    def __init__(self, labels):
        self.parties = labels.index("Parties")
        self.golds = defaultdict(list)
        self.preds = []

    def add(self, document, gold, predicted):
        """gold: (label, text); predicted: (label, text, confidence)."""
        for label, text in gold:
            self.golds[document, label].append((text, word_set(text)))
        for label, text, confidence in predicted:
            self.preds.append((confidence, document, label, text))

    def rows(self, authors=False):
        """(confidence, answers found, wrong, label) of every prediction, best first."""
        used, out = defaultdict(set), []
        for confidence, document, label, text in sorted(self.preds, key=lambda p: -p[0]):
            words = word_set(text)
            taken = used[document, label]
            matches = []
            for i, (gold, gold_words) in enumerate(self.golds.get((document, label), ())):
                value = jaccard(words, gold_words)
                inside = authors and label == self.parties and gold in text
                if value >= 0.5 or inside:
                    matches.append((value, i))
            if authors:
                new = {i for _, i in matches} - taken
                taken |= new
                out.append((confidence, len(new), int(not matches), label))
            else:
                free = [(value, -i) for value, i in matches if i not in taken]
                if free:
                    taken.add(-max(free)[1])
                out.append((confidence, int(bool(free)), int(not free), label))
        return out

    def aupr(self, authors=False, label=None):
        golds = sum(len(g) for (_, at), g in self.golds.items() if label in (None, at))
        rows = [r[:3] for r in self.rows(authors) if label in (None, r[3])]
        return average_precision(rows, golds) if golds else (float("nan"), [])


def precision_at_recall(curve, wanted=0.8):
    """Best precision at that recall or more; 0 if never reached."""
    return max((precision for _, precision, recall in curve if recall >= wanted), default=0.0)


def prf(hits, predicted, golds):
    """Precision, recall and F1 from counts."""
    p, r = hits / max(1, predicted), hits / max(1, golds)
    return {"p": float(p), "r": float(r), "f1": float(2 * p * r / (p + r)) if hits else 0.0}


def calibration_error(confidences, hits, bins=10):
    """Expected calibration error over equal bins."""
    index = np.minimum((np.asarray(confidences) * bins).astype(int), bins - 1)
    error = 0.0
    for k in range(bins):
        inside = index == k
        if inside.any():
            gap = abs(np.mean(np.asarray(confidences)[inside]) - np.mean(np.asarray(hits)[inside]))
            error += gap * inside.mean()
    return float(error)
