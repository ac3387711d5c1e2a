"""The decoder: token logits in, spans and flags out. DECODER.md says the same in words.

Plain loops on purpose: this is the reference that the worker reimplements, and both must give
the same numbers. All arithmetic is in double precision, sums run left to right.
"""

import math
from dataclasses import dataclass

from sentences import DIGITS, LETTERS, token_ranges

VERSION = "3"
CLAMP = 1e-9


@dataclass
class Span:
    label: int
    start: int
    end: int
    first: int
    last: int
    base: float
    confidence: float = 0.0


def clauses(bundle):
    """The one head of this bundle."""
    (head,) = bundle["heads"]
    return head


def sigmoid(x):
    if x >= 0:
        return 1.0 / (1.0 + math.exp(-x))
    e = math.exp(x)
    return e / (1.0 + e)


def logit(p):
    p = min(max(p, CLAMP), 1.0 - CLAMP)
    return math.log(p / (1.0 - p))


def mean_logit(probabilities, first, last):
    """Logit of the mean probability of the tokens."""
    total = 0.0
    for i in range(first, last):
        total += probabilities[i]
    return logit(total / (last - first))


def base_score(probabilities, logits, first, last):
    """Half how strong the tokens are together, half how strong the best of them is."""
    return 0.5 * mean_logit(probabilities, first, last) + 0.5 * max(logits[first:last])


def runs(probabilities, first, last, extend, seed, gap):
    """Token runs inside one sentence: tokens of at least `extend`, at most `gap` weaker ones
    between them, the best of at least `seed`."""
    found, start, end, best = [], None, None, 0.0
    for i in range(first, last):
        if probabilities[i] < extend:
            continue
        if start is not None and i - end > gap:
            if best >= seed:
                found.append((start, end))
            start = None
        if start is None:
            start, best = i, 0.0
        end, best = i + 1, max(best, probabilities[i])
    if start is not None and best >= seed:
        found.append((start, end))
    return found


def is_word(c):
    """ASCII letters and digits, and the Latin letters beyond ASCII."""
    return c in LETTERS or c in DIGITS or "\u00c0" <= c <= "\u024f"


def whole_words(text, starts, ends, first, last):
    """Widens a token range over the tokens that continue a word."""
    def joined(i):
        return (ends[i - 1] == starts[i] and is_word(text[starts[i] - 1])
                and is_word(text[starts[i]]))

    while first > 0 and joined(first):
        first -= 1
    while last < len(starts) and joined(last):
        last += 1
    return first, last


def key(text):
    """What makes two phrases the same answer: their word characters, ASCII in lower case."""
    return "".join(c.lower() if c in LETTERS else c for c in text if is_word(c))


def candidate_ranges(params, ranges, probabilities):
    """Token ranges that may be an answer: whole sentences, or runs inside them."""
    if params["unit"] == "sentence":
        return ranges
    found = []
    for first, last in ranges:
        found += runs(probabilities, first, last, params["extend"], params["seed"], params["gap"])
    return found


def features(span, best, probabilities, logits):
    """What the confidence of a span is computed from, in the order of the weights."""
    return (
        mean_logit(probabilities, span.first, span.last),
        max(logits[span.first : span.last]),
        span.base - best,
        math.log(span.last - span.first),
        math.log(1.0 + span.first / 256.0),
    )


def candidates(label, params, floor, text, starts, ends, ranges, logits, probabilities):
    """(span without confidence, features) of one label, base scores of at least `floor`."""
    spans = []
    for first, last in candidate_ranges(params, ranges, probabilities):
        base = base_score(probabilities, logits, first, last)
        if base >= floor:
            a, b = first, last
            if params["unit"] == "phrase":
                a, b = whole_words(text, starts, ends, first, last)
            spans.append(Span(label, starts[a], ends[b - 1], first, last, base))
    best = max((span.base for span in spans), default=0.0)
    return [(span, features(span, best, probabilities, logits)) for span in spans]


def select(params, text, spans):
    """Phrases only: the same answer once, the most confident first, at most `max_spans`."""
    if params["unit"] == "sentence":
        return spans
    kept, seen = [], set()
    for span in sorted(spans, key=lambda s: (-s.confidence, s.start)):
        name = key(text[span.start : span.end])
        if name and name not in seen:
            seen.add(name)
            kept.append(span)
    return kept[: params["max_spans"]]


def flag_score(params, ranges, logits, probabilities):
    """Raw score of the flag: the best token, for sentence labels mixed with the three best
    sentences. Where there are fewer, the last one counts for the missing ones too."""
    token = max(logits)
    if params["unit"] == "phrase":
        return token
    ranked = sorted((mean_logit(probabilities, a, b) for a, b in ranges), reverse=True)
    score = 0.4 * token
    for place, weight in enumerate((0.3, 0.2, 0.1)):
        score += weight * ranked[min(place, len(ranked) - 1)]
    return score


def linear(bias, weights, values):
    for weight, value in zip(weights, values):
        bias += weight * value
    return bias


def decode_label(label, params, floor, text, starts, ends, ranges, logits):
    """(all candidate spans with their confidence, probability of the flag) of one label."""
    probabilities = [sigmoid(x) for x in logits]
    spans = []
    for span, values in candidates(label, params, floor, text, starts, ends, ranges, logits,
                                   probabilities):
        score = params["calibration"]
        span.confidence = sigmoid(linear(score["bias"], score["weights"], values))
        spans.append(span)
    flag = params["flag_calibration"]
    raw = flag_score(params, ranges, logits, probabilities)
    return select(params, text, spans), sigmoid(linear(flag["b"], [flag["a"]], [raw]))


def decode(logits, text, starts, ends, bundle):
    """(spans of at least their label's threshold in text order, flag probability by label).

    logits: one row a token, one column a label; bundle: the content of bundle.json.
    """
    head = clauses(bundle)
    labels, floor = head["labels"], head["floor"]
    if len(starts) == 0:
        return [], [0.0] * len(labels)
    starts, ends = [int(x) for x in starts], [int(x) for x in ends]
    ranges = token_ranges(text, starts)
    spans, flags = [], []
    for label, params in enumerate(labels):
        column = [float(row[label]) for row in logits]
        found, flag = decode_label(label, params, floor, text, starts, ends, ranges, column)
        spans += [span for span in found if span.confidence >= params["threshold"]]
        flags.append(flag)
    spans.sort(key=lambda s: (s.start, s.end, s.label))
    return spans, flags
