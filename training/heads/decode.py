"""The decoder of entities and classes heads: logits in, findings out. DECODER.md says the same in
words.

Plain loops on purpose: this is the reference that the worker reimplements, and both must give
the same numbers. All arithmetic is in double precision, sums run left to right.
"""

import math
from dataclasses import dataclass

from decode import VERSION, linear, logit, sigmoid


@dataclass
class Finding:
    """label counts through the heads of the bundle in order."""

    label: int
    start: int
    end: int
    confidence: float


def log_softmax(row):
    largest = max(row)
    total = 0.0
    for x in row:
        total += math.exp(x - largest)
    total = largest + math.log(total)
    return [x - total for x in row]


def viterbi(rows):
    """Best columns of the words: O, B-1, I-1, B-2, ...; I-k only after B-k or I-k, never first.
    Of equal ones the lower column, at each step back."""
    width = len(rows[0])
    scores = [-math.inf if column and column % 2 == 0 else rows[0][column] for column in range(width)]
    back = []
    for row in rows[1:]:
        best = max(range(width), key=lambda column: (scores[column], -column))
        before, following = [], []
        for column in range(width):
            previous = best
            if column and column % 2 == 0:
                previous = column - 1 if scores[column - 1] >= scores[column] else column
            before.append(previous)
            following.append(scores[previous] + row[column])
        back.append(before)
        scores = following
    path = [max(range(width), key=lambda column: (scores[column], -column))]
    for before in reversed(back):
        path.append(before[path[-1]])
    return path[::-1]


OPENING = "([{\"'"
CLOSING = ",;:!?)]}\"'"


def white_space_words(text, starts, ends, words):
    """Words that touch joined to one; signs that open before it or close behind it stay apart."""
    def flush(run):
        first, last = 0, len(run)
        while last - first > 1 and piece(run[first]) in set(OPENING):
            first += 1
        while last - first > 1 and piece(run[last - 1]) in set(CLOSING):
            last -= 1
        return [*run[:first], (run[first][0], run[last - 1][1]), *run[last:]]

    def piece(word):
        return text[starts[word[0]] : ends[word[1] - 1]]

    out, run = [], []
    for word in words:
        if run and ends[run[-1][1] - 1] != starts[word[0]]:
            out += flush(run)
            run = []
        run.append(word)
    return out + (flush(run) if run else [])


def words_of(head, document):
    """The words that the head labels, as token ranges."""
    if head.get("words") != "white_space":
        return document.words
    return white_space_words(document.record.text, document.starts, document.ends, document.words)


def entity_spans(path):
    """(label, first word, last word + 1) of B-k (I-k)*."""
    found = []
    for word, column in enumerate(path):
        if column % 2 == 1:
            found.append([(column - 1) // 2, word, word + 1])
        elif column:
            found[-1][2] = word + 1
    return [tuple(span) for span in found]


def entity_features(rows, label, first, last):
    """What the confidence of an entity is computed from, in the order of the weights. rows:
    log-softmax by word."""
    total, smallest = 0.0, math.inf
    for row in rows[first:last]:
        share = math.exp(row[1 + 2 * label]) + math.exp(row[2 + 2 * label])
        total += share
        smallest = min(smallest, share)
    return logit(total / (last - first)), logit(smallest), math.log(last - first)


def entity_candidates(head, logits, words):
    """[(label in the head, first word, last word + 1, features)]; logits: the head's columns of
    every token."""
    if not words:
        return []
    rows = [log_softmax([float(x) for x in logits[first]]) for first, _ in words]
    return [(label, a, b, entity_features(rows, label, a, b))
            for label, a, b in entity_spans(viterbi(rows))]


def decode_entities(head, offset, logits, starts, ends, words):
    found = []
    score = head["calibration"]
    for label, a, b, values in entity_candidates(head, logits, words):
        confidence = sigmoid(linear(score["bias"], score["weights"], values))
        if confidence >= head["labels"][label]["threshold"]:
            found.append(Finding(offset + label, int(starts[words[a][0]]),
                                 int(ends[words[b - 1][1] - 1]), confidence))
    return found


def class_logits(windows):
    """Mean over the windows."""
    return [sum(float(row[k]) for row in windows) / len(windows) for k in range(len(windows[0]))]


def decode_classes(head, offset, windows, runs, starts, ends):
    """windows: the head's columns of every window; runs: (first, last + 1) tokens each owns."""
    if len(starts) == 0:
        return []
    z = [x / head["temperature"] for x in class_logits(windows)]
    rows = log_softmax(z)
    best = max(range(len(z)), key=lambda column: (z[column], -column))
    strongest = max(range(len(windows)), key=lambda k: (float(windows[k][best]), -k))
    first, last = runs[strongest]
    return [Finding(offset + best, int(starts[first]), int(ends[last - 1]), math.exp(rows[best]))]


def head_columns(head):
    return len(head["labels"]) if head["kind"] == "classes" else 1 + 2 * len(head["labels"])


def decode(bundle, document, logits, windows, runs):
    """Findings in order of start, end, label.

    document: has record.text, starts, ends (characters) and words (token ranges); logits: a row a
    token, or None without a token head; windows: class logits by window; runs: tokens each window owns.
    """
    found, offset, token_column, class_column = [], 0, 0, 0
    starts, ends = document.starts, document.ends
    for head in bundle["heads"]:
        width = head_columns(head)
        if head["kind"] == "entities":
            part = [row[token_column : token_column + width] for row in logits]
            found += decode_entities(head, offset, part, starts, ends, words_of(head, document))
            token_column += width
        else:
            part = [row[class_column : class_column + width] for row in windows]
            found += decode_classes(head, offset, part, runs, starts, ends)
            class_column += width
        offset += len(head["labels"])
    return sorted(found, key=lambda f: (f.start, f.end, f.label))
