"""The common form of all data sets: records, their tokens and words, windows and batches."""

import json
import re
from dataclasses import dataclass, field

import numpy as np
from tokenizers import Tokenizer

from sentences import token_ranges

IGNORE = -100


def open_tokenizer(content):
    content = {**content, "truncation": None, "padding": None}
    return Tokenizer.from_str(json.dumps(content, ensure_ascii=False)), content


@dataclass
class Head:
    """`entities`: word labels in BIO, columns O, B-1, I-1, B-2, ...; `classes`: one column a label.

    `weight` scales its loss, `smoothing` its targets. `words` is what an entities head labels when
    it is decoded: words of the tokenizer, or with "white_space" what stands between white space.
    """

    kind: str
    name: str
    labels: tuple
    weight: float = 1.0
    smoothing: float = 0.0
    words: str | None = None

    @property
    def columns(self):
        return len(self.labels) if self.kind == "classes" else 1 + 2 * len(self.labels)


def chosen(heads, names):
    """The heads named in a comma-separated list, all without one."""
    return tuple(head for head in heads if not names or head.name in names.split(","))


@dataclass
class Record:
    """A text and what is known of it. A head without an entry takes no part in its loss.

    spans: {entities head: [(label, start, end)]} in characters, end exclusive; a span whose label
    the head does not have masks its words out of the loss. classes: {classes head: label}. keep:
    the share of epochs that see it.
    """

    id: str
    text: str
    spans: dict = field(default_factory=dict)
    classes: dict = field(default_factory=dict)
    keep: float = 1.0


def flat(spans):
    """Without the spans that overlap a longer one; the earlier one if equally long."""
    kept = []
    for label, start, end in sorted(spans, key=lambda s: (s[1] - s[2], s[1])):
        if all(end <= a or start >= b for _, a, b in kept):
            kept.append((label, start, end))
    return sorted(kept, key=lambda s: s[1])


def words_of(word_ids):
    """(first token, last token + 1) of the words: maximal runs of one word id."""
    words, first = [], 0
    for i in range(1, len(word_ids) + 1):
        if i == len(word_ids) or word_ids[i] != word_ids[first]:
            words.append((first, i))
            first = i
    return words


class Encoded:
    """A record as tokens and words, with the targets of the heads it supervises."""

    def __init__(self, record, tokenizer, heads, key=None):
        self.record, self.key = record, key
        encoding = tokenizer.encode(record.text, add_special_tokens=False)
        self.ids = np.asarray(encoding.ids, np.int64)
        offsets = np.asarray(encoding.offsets, np.int64).reshape(-1, 2)
        self.starts, self.ends = offsets[:, 0], offsets[:, 1]
        self.sentence_ends = [last for _, last in token_ranges(record.text, self.starts)]
        self.words = words_of(encoding.word_ids) if len(self.ids) else []
        self.first = np.array([first for first, _ in self.words], np.int64)
        self.tags = {h.name: self.word_targets(h) for h in heads
                     if h.kind == "entities" and h.name in record.spans}
        self.classes = {h.name: h.labels.index(record.classes[h.name]) for h in heads
                        if h.kind == "classes" and h.name in record.classes}

    def word_targets(self, head):
        tags = np.zeros(len(self.words), np.int64)
        start = self.starts[self.first] if len(self.words) else np.zeros(0)
        end = np.array([self.ends[last - 1] for _, last in self.words])
        for label, a, b in flat(self.record.spans[head.name]):
            inside = np.flatnonzero((start < b) & (end > a))
            if label not in head.labels:
                tags[inside] = IGNORE
            elif len(inside):
                column = 1 + 2 * head.labels.index(label)
                tags[inside] = column + 1
                tags[inside[0]] = column
        return tags


def encode(records, tokenizer, heads):
    return [Encoded(record, tokenizer, heads, key) for key, record in enumerate(records)]


LETTERS = "abcdefghijklmnopqrstuvwxyz"


def misspell(record, rng, rate):
    """The record with about `rate` of its longer words mistyped, spans moved along. Only letters
    change, so the words stay as many."""
    out, shift, at = [], np.zeros(len(record.text) + 1, np.int64), 0
    for match in re.finditer(r"[A-Za-z]{4,}", record.text):
        if rng.random() >= rate:
            continue
        word, i = match.group(), int(rng.integers(1, len(match.group()) - 1))
        letter = LETTERS[rng.integers(26)]
        word = (word[:i] + word[i + 1 :], word[:i] + letter + word[i:], word[:i] + letter + word[i + 1 :],
                word[:i] + word[i + 1] + word[i] + word[i + 2 :])[rng.integers(4)]
        out += [record.text[at : match.start()], word]
        at = match.end()
        shift[at:] += len(word) - len(match.group())
    out.append(record.text[at:])
    spans = {head: [(label, int(a + shift[a]), int(b + shift[b])) for label, a, b in found]
             for head, found in record.spans.items()}
    return Record(record.id, "".join(out), spans, record.classes)


def windows_of(n, content, rng):
    """First tokens of training windows over n tokens, on a grid with a random shift."""
    if n <= content:
        return [0]
    shift = int(rng.integers(content))
    return sorted({0, n - content, *range(shift, n - content, content)})


def epoch_batches(examples, content, budget, rows, rng):
    """Batches of (example, first token): windows of like length, at most `budget` tokens with
    padding and at most `rows` of them, in random order."""
    windows = [(example, start) for example in examples
               for start in windows_of(len(example.ids), content, rng)]
    length = np.array([min(len(e.ids) - start, content) + 2 for e, start in windows])
    order = np.argsort(length + rng.random(len(length)) * (1 + 0.15 * length), kind="stable")
    batches, batch, longest = [], [], 0
    for k in order:
        longest = max(longest, int(length[k]))
        if batch and (len(batch) == rows or longest * (len(batch) + 1) > budget):
            batches.append(batch)
            batch, longest = [], int(length[k])
        batch.append(windows[k])
    batches.append(batch)
    rng.shuffle(batches)
    return batches


def make_batch(batch, content, special):
    """ids, mask and (row, first word, its last word + 1) of the words that begin in the window."""
    cls, sep, pad = special
    length = max(min(len(e.ids) - start, content) for e, start in batch) + 2
    ids = np.full((len(batch), length), pad, np.int64)
    mask = np.zeros((len(batch), length), bool)
    ranges = []
    for row, (example, start) in enumerate(batch):
        part = example.ids[start : start + content]
        ids[row, 0], ids[row, len(part) + 1] = cls, sep
        ids[row, 1 : len(part) + 1] = part
        mask[row, : len(part) + 2] = True
        ranges.append(tuple(np.searchsorted(example.first, (start, start + len(part)))))
    return ids, mask, ranges


def special_ids(tokenizer):
    return tuple(tokenizer.token_to_id(token) for token in ("[CLS]", "[SEP]", "[PAD]"))


def ids_of(tokenizer, text, tokens_max):
    """The model's input for one text, cut to a window."""
    cls, sep, _ = special_ids(tokenizer)
    return [cls, *tokenizer.encode(text, add_special_tokens=False).ids[: tokens_max - 2], sep]
