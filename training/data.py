"""Contracts, tokens, sentence numbers and training windows."""

import gzip
import json
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from sentences import breaks

CLS, SEP, PAD = 101, 102, 0
# Labels whose answers are names and dates, not sentences.
PHRASE_LABELS = ("Document Name", "Parties", "Agreement Date", "Effective Date")


def read_labels(data):
    return [entry["label"] for entry in json.loads((Path(data) / "labels.json").read_text())]


def read_split(data, split):
    with gzip.open(Path(data) / f"{split}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def load_tokenizer(path):
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


class Document:
    """A contract as one token sequence: ids, character offsets, sentence number of each token
    and the annotated spans as (label index, first token, last token + 1)."""

    def __init__(self, record, tokenizer, labels):
        self.id = record["id"]
        self.text = record["text"]
        encoding = tokenizer.encode(self.text, add_special_tokens=False)
        self.ids = np.asarray(encoding.ids, np.int32)
        offsets = np.asarray(encoding.offsets, np.int64).reshape(-1, 2)
        self.starts, self.ends = offsets[:, 0], offsets[:, 1]
        self.sentence = np.searchsorted(breaks(self.text), self.starts, side="right")
        self.gold = [(labels.index(s["label"]), s["start"], s["end"]) for s in record["spans"]]
        self.spans = []
        for label, start, end in self.gold:
            first = int(np.searchsorted(self.ends, start, side="right"))
            last = int(np.searchsorted(self.starts, end, side="left"))
            if last > first:
                self.spans.append((label, first, last))

    def targets(self, first, last, n_labels):
        """0/1 matrix over the tokens first..last."""
        out = np.zeros((last - first, n_labels), np.float32)
        for label, a, b in self.spans:
            if a < last and b > first:
                out[max(a, first) - first : min(b, last) - first, label] = 1.0
        return out


def load_documents(data, split, tokenizer, labels):
    return [Document(record, tokenizer, labels) for record in read_split(data, split)]


def windows_of(document, content, rng):
    """First tokens of windows that cover the document, on a grid with a random shift."""
    n = len(document.ids)
    shift = int(rng.integers(content))
    return sorted({0, max(0, n - content), *range(shift, max(1, n - content), content)})


def epoch_windows(documents, content, negative_rate, rng, rare=frozenset(), rare_passes=0):
    """(document, first token) of one epoch: every window with an annotated span and a share of
    the others, then again those with a span of a rare label. The grid shifts from pass to pass
    so that spans meet different contexts."""
    windows = []
    for index, document in enumerate(documents):
        for turn in range(1 + rare_passes):
            for start in windows_of(document, content, rng):
                labels = {label for label, a, b in document.spans
                          if a < start + content and b > start}
                keep = labels & rare if turn else labels or rng.random() < negative_rate
                if keep:
                    windows.append((index, start))
    rng.shuffle(windows)
    return windows


def make_batch(documents, windows, content, n_labels):
    """ids, mask, targets and sentence numbers (counted through the batch, -1 off the text)."""
    rows = len(windows)
    ids = np.full((rows, content + 2), PAD, np.int64)
    mask = np.zeros((rows, content + 2), bool)
    targets = np.zeros((rows, content + 2, n_labels), np.float32)
    sentence = np.full((rows, content + 2), -1, np.int64)
    count = 0
    for row, (index, start) in enumerate(windows):
        document = documents[index]
        end = min(start + content, len(document.ids))
        n = end - start
        ids[row, 0], ids[row, n + 1] = CLS, SEP
        ids[row, 1 : n + 1] = document.ids[start:end]
        mask[row, : n + 2] = True
        targets[row, 1 : n + 1] = document.targets(start, end, n_labels)
        local = document.sentence[start:end] - document.sentence[start]
        sentence[row, 1 : n + 1] = count + local
        count += int(local[-1]) + 1
    return ids, mask, targets, sentence, count
