"""Scores to spans by numpy: what training/DECODER.md says, as cheaply as a service would do it.

Left out on purpose, all in favour of the peers: Viterbi (the best column of each word stands, and a lone I begins a span), flags
of contracts, and joining the pieces of a word at the edges of a phrase. Both peers share it, so that they differ elsewhere only.
"""

import re

import numpy as np

CLAMP = 1e-9
SENTENCE = re.compile(r"[.?!][\"')\]}\u201d\u2019\u00bb]*\s+(?=[^a-z\s])|\n\s*\n\s*(?=\S)")
# What a full stop does not end a sentence after: an initial, a number of a clause, an abbreviation.
UNENDED = re.compile(
    r"(?:(?:^|[^A-Za-z])(?:[A-Za-z]|inc|ltd|co|corp|llc|lp|nos?|mrs?|ms|dr|st|sec|art|ex|vs|al|etc|cf|approx|dept|est|fig"
    r"|jr|sr|pp?|para?|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec|attn|tel|fax|ref|vol|rev|ed|bros|ave|blvd)|(?:^|\s)[\d.()]*)$",
    re.IGNORECASE,
)


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def logit(p):
    p = np.clip(p, CLAMP, 1.0 - CLAMP)
    return np.log(p / (1.0 - p))


def log_softmax(x):
    x = x - x.max(axis=1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


def sentence_starts(text):
    found = []
    for match in SENTENCE.finditer(text):
        at = match.start()
        if text[at] != "." or not UNENDED.search(text[max(0, at - 16) : at]):
            found.append(match.end())
    return found


class Multilabel:
    """Every label judges every token: sentences as a whole, or phrases inside them."""

    def __init__(self, head):
        labels = head["labels"]
        self.width, self.floor = len(labels), head["floor"]
        self.names = [label["name"] for label in labels]
        self.bias = np.array([label["calibration"]["bias"] for label in labels])
        self.weights = np.array([label["calibration"]["weights"] for label in labels]).T
        self.threshold = np.array([label["threshold"] for label in labels])
        self.phrases = [(at, label) for at, label in enumerate(labels) if label["unit"] == "phrase"]
        self.sentences = np.array([label["unit"] == "sentence" for label in labels])

    def confidence(self, scores, lengths, firsts, columns):
        """Of candidates (rows) by labels (columns); scores: mean, largest, base, best."""
        mean, largest, base, best = scores
        w = self.weights[:, columns]
        shape = w[3] * np.log(lengths)[:, None] + w[4] * np.log1p(firsts / 256)[:, None]
        return sigmoid(self.bias[columns] + w[0] * mean + w[1] * largest + w[2] * (base - best) + shape)

    def spans(self, batch, logits):
        found, first = [], 0
        for document in batch:
            x = logits[first : first + len(document.starts)].astype(np.float64)
            first += len(document.starts)
            found.append(self.document(document, x) if len(x) else [])
        return found

    def document(self, document, x):
        p, starts, ends, n = sigmoid(x), document.starts, document.ends, len(x)
        firsts = np.unique(np.searchsorted(starts, [0, *sentence_starts(document.text)]))
        firsts = firsts[firsts < n]
        lasts = np.append(firsts[1:], n)
        lengths = lasts - firsts
        mean = logit(np.add.reduceat(p, firsts, axis=0) / lengths[:, None])
        largest = np.maximum.reduceat(x, firsts, axis=0)
        base = 0.5 * (mean + largest)
        best = base.max(axis=0)
        confidence = self.confidence((mean, largest, base, best), lengths, firsts, slice(None))
        passes = (base >= self.floor) & (confidence >= self.threshold) & self.sentences
        found = [
            (self.names[column], int(starts[firsts[row]]), int(ends[lasts[row] - 1]), float(confidence[row, column]))
            for row, column in zip(*np.nonzero(passes))
        ]
        sentence = np.repeat(np.arange(len(firsts)), lengths)
        for column, label in self.phrases:
            found += self.phrase(document, x[:, column], p[:, column], sentence, (column, label))
        return found

    def phrase(self, document, x, p, sentence, which):
        column, label = which
        strong = np.flatnonzero(p >= label["extend"])
        if not len(strong):
            return []
        breaks = (np.diff(strong) > 1 + label["gap"]) | (np.diff(sentence[strong]) != 0)
        firsts = strong[np.append(True, breaks)]
        lasts = strong[np.append(breaks, True)] + 1
        # Pairs of an end and a beginning: every second range of `reduceat` is a run.
        edges = np.stack([firsts, lasts], axis=1).ravel()
        edges = edges[:-1] if edges[-1] == len(x) else edges
        largest = np.maximum.reduceat(x, edges)[::2]
        mean = logit(np.add.reduceat(p, edges)[::2] / (lasts - firsts))
        base = 0.5 * (mean + largest)
        keep = (sigmoid(largest) >= label["seed"]) & (base >= self.floor)
        if not keep.any():
            return []
        firsts, lasts, mean, largest, base = (a[keep] for a in (firsts, lasts, mean, largest, base))
        scores = [a[:, None] for a in (mean, largest, base)]
        confidence = self.confidence((*scores, base.max()), lasts - firsts, firsts, [column])[:, 0]
        found, seen = [], set()
        for at in np.argsort(-confidence, kind="stable"):
            start, end = int(document.starts[firsts[at]]), int(document.ends[lasts[at] - 1])
            key = "".join(filter(str.isalnum, document.text[start:end])).lower()
            if key and key not in seen and len(seen) < label["max_spans"]:
                seen.add(key)
                if confidence[at] >= label["threshold"]:
                    found.append((label["name"], start, end, float(confidence[at])))
        return found


class Entities:
    """Columns O, B-1, I-1, B-2, ... of words; all documents of a batch at once."""

    def __init__(self, head):
        labels = head["labels"]
        self.width = 1 + 2 * len(labels)
        self.names = [label["name"] for label in labels]
        self.threshold = np.array([label["threshold"] for label in labels])
        self.bias, self.weights = head["calibration"]["bias"], head["calibration"]["weights"]
        self.by_white_space = head.get("words") == "white_space"

    def words(self, document):
        """First tokens of the words that the head judges."""
        if not self.by_white_space:
            return document.words
        starts, ends, text = document.starts, document.ends, document.text
        apart = np.append(True, starts[1:] != ends[:-1])
        marks = [text[at] for at in starts.tolist()]
        opens = apart & np.isin(marks, list("([{\"'"))
        closes = np.append(apart[1:], True) & np.isin(marks, list(",;:!?)]}\"'"))
        return np.flatnonzero(apart | closes | np.append(False, opens[:-1]))

    def spans(self, batch, logits):
        found = [[] for _ in batch]
        sizes = np.array([len(document.starts) for document in batch])
        offsets = np.cumsum(sizes) - sizes
        if not sizes.sum():
            return found
        words = [self.words(document) + at if len(document.starts) else document.words for document, at in zip(batch, offsets)]
        owner = np.repeat(np.arange(len(batch)), [len(part) for part in words])
        words = np.concatenate(words)
        rows = log_softmax(logits[words].astype(np.float64))
        column = rows.argmax(axis=1)
        label = (column + 1) // 2
        # A piece is a span, or one word outside of all.
        begins = (column % 2 == 1) | (label == 0) | (np.diff(label, prepend=-1) != 0) | (np.diff(owner, prepend=-1) != 0)
        firsts = np.flatnonzero(begins)
        counts = np.diff(np.append(firsts, len(words)))
        inside = np.maximum(label, 1)
        at = np.arange(len(words))
        share = np.exp(rows[at, 2 * inside - 1]) + np.exp(rows[at, 2 * inside])
        mean = logit(np.add.reduceat(share, firsts) / counts)
        least = logit(np.minimum.reduceat(share, firsts))
        w = self.weights
        confidence = sigmoid(self.bias + w[0] * mean + w[1] * least + w[2] * np.log(counts))
        kind = label[firsts] - 1
        keep = np.flatnonzero((kind >= 0) & (confidence >= self.threshold[kind]))
        lasts = np.append(words, len(logits))[firsts + counts] - 1
        starts = np.concatenate([document.starts for document in batch])[words[firsts[keep]]]
        ends = np.concatenate([document.ends for document in batch])[lasts[keep]]
        whose = owner[firsts[keep]]
        for whom, k, start, end, c in zip(*(a.tolist() for a in (whose, kind[keep], starts, ends, confidence[keep]))):
            found[whom].append((self.names[k], start, end, c))
        return found


class Classes:
    """One label a document, by the mean of its windows."""

    def __init__(self, head):
        self.width = len(head["labels"])
        self.names = [label["name"] for label in head["labels"]]
        self.temperature = head["temperature"]

    def spans(self, batch, rows):
        found = [[] for _ in batch]
        counts = np.array([len(document.windows) for document in batch])
        full = np.flatnonzero(counts)
        if not len(full):
            return found
        firsts = (np.cumsum(counts) - counts)[full]
        z = np.add.reduceat(rows.astype(np.float64), firsts, axis=0) / counts[full][:, None]
        p = np.exp(log_softmax(z / self.temperature))
        best = p.argmax(axis=1)
        for row, whom in enumerate(full):
            document = batch[whom]
            place = int(document.starts[0]), int(document.ends[-1])
            found[whom].append((self.names[best[row]], *place, float(p[row, best[row]])))
        return found


HEADS = {"multilabel": Multilabel, "entities": Entities, "classes": Classes}


class Decoder:
    def __init__(self, bundle):
        self.heads = []
        columns = {"logits": 0, "classes": 0}
        for head in bundle["heads"]:
            output, decoder = "classes" if head["kind"] == "classes" else "logits", HEADS[head["kind"]](head)
            self.heads.append((output, slice(columns[output], columns[output] + decoder.width), decoder))
            columns[output] += decoder.width
        self.outputs = [name for name, width in columns.items() if width]

    def spans(self, batch, scores):
        """[(label, start, end, confidence)] of each document. scores, by output: `logits`, a row for every token of the batch;
        `classes`, a row for every window; both in the order of the documents."""
        found = [[] for _ in batch]
        for output, columns, decoder in self.heads:
            for spans, more in zip(found, decoder.spans(batch, scores[output][:, columns])):
                spans += more
        for spans in found:
            spans.sort(key=lambda span: span[1:3])
        return found
