"""The gate: which sentences the model reads. DECODER.md, section 10, says the same in words.

As a program it trains the gate of a bundle: what the model finds in the training contracts teaches
it, cross-validation on them tells how much must be read, and dev gives the threshold that reads so
much. Nothing here sees the test split."""

import argparse
import hashlib
import json
from collections import namedtuple
from pathlib import Path

import numpy as np

import decode
from sentences import token_ranges
from windows import over

FILE = "gate.bin"
# Stand before the first token of a sentence and behind the last one: ids that no text has.
EDGES = (1, 2)
# Tell features of one token, of two and of the place apart.
SALTS = (1, 2, 3)

BITS = 17
ALPHA = 5e-5
MARGIN, JOINED = 10, 8
# Logit of a token that the model has not read: about the median of those that it has.
UNREAD = -11.0
# A sentence is worth reading by the sigmoid of its largest logit plus this: half where the model
# gives some label of some token this odds.
SHIFT = 1.0
# A label with few answers weighs up to so many times as much as the average one: the figure that a
# gate may harm is an average over labels.
RARITY_MAX = 10.0
FOLDS = 4
# Shares of the tokens that are tried, least first.
SHARES = [round(0.30 + 0.01 * k, 2) for k in range(60)]

# What a document teaches of its sentences: (first, last) tokens, features, the largest logit of
# each label, and the confidence of the answers of each label that the model finds there.
Lesson = namedtuple("Lesson", "ranges rows best told")


def slots(ids, first, bits):
    """The different features of a sentence that begins with token `first` of its text: single
    tokens, pairs and the bits that its place takes, as places in the table."""
    ids = np.asarray(ids, np.uint32)
    ends = np.concatenate([[EDGES[0]], ids, [EDGES[1]]])
    one = np.concatenate([ids, ends[:-1], [first.bit_length()]]).astype(np.uint32)
    other = np.concatenate([np.zeros(len(ids)), ends[1:], [0]]).astype(np.uint32)
    salt = np.repeat(np.array(SALTS, np.uint32), [len(ids), len(ids) + 1, 1])
    # An integer hash of Hash Prospector (github.com/skeeto/hash-prospector), modulo 2^32.
    mixed = one * np.uint32(0x9E3779B1) + other * np.uint32(0x85EBCA6B) + salt
    mixed = (mixed ^ (mixed >> np.uint32(15))) * np.uint32(0x2C1B3C6D)
    mixed = (mixed ^ (mixed >> np.uint32(12))) * np.uint32(0x297A2D39)
    mixed ^= mixed >> np.uint32(15)
    return np.unique(mixed >> np.uint32(32 - bits))


def islands(ranges, is_read, margin, joined):
    """(first, last) token ranges of what is read, without margins."""
    found = []
    for (first, last), wanted in zip(ranges, is_read):
        if wanted:
            if found and first - found[-1][1] <= 2 * margin + joined:
                found[-1][1] = last
            else:
                found.append([first, last])
    return found


def places(count, found, margin, content, stride):
    """The windows over what is read, as `infer.over` gives those over a whole text."""
    out = []
    for island_first, island_last in found:
        offset = max(0, island_first - margin)
        length = min(count, island_last + margin) - offset
        for start, end, first, last in over(length, content, stride):
            first, last = max(offset + first, island_first), min(offset + last, island_last)
            if last > first:
                out.append((offset + start, offset + end, first, last))
    return out


class Gate:
    def __init__(self, weights, settings):
        self.weights = np.asarray(weights, np.int64)
        self.bits = len(self.weights).bit_length() - 1
        self.settings = settings

    @classmethod
    def of(cls, folder, bundle):
        """The gate of a bundle; None where it has none."""
        if "gate" not in bundle:
            return None
        return cls(np.fromfile(Path(folder) / FILE, "<i2"), bundle["gate"])

    def score(self, ids, first):
        return int(self.weights[slots(ids, first, self.bits)].sum())

    def scores(self, ids, ranges):
        return [self.score(ids[a:b], a) for a, b in ranges]

    def read(self, ranges, scores):
        """Whether the model reads each sentence."""
        opening, threshold = self.settings["opening"], self.settings["threshold"]
        return [a < opening or score >= threshold for (a, _), score in zip(ranges, scores)]

    def places(self, ids, ranges, content, stride):
        margin = self.settings["margin"]
        read = self.read(ranges, self.scores(ids, ranges))
        found = islands(ranges, read, margin, self.settings["joined"])
        return places(len(ids), found, margin, content, stride)


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def lesson(document, logits, found):
    """`found` are the candidates of all of the document's labels."""
    ranges = token_ranges(document.text, document.starts.tolist())
    ends = [last for _, last in ranges]
    told = np.zeros((len(ranges), logits.shape[1]))
    for span in found:
        told[np.searchsorted(ends, span.first, side="right"), span.label] += span.confidence
    return Lesson(ranges, [slots(document.ids[a:b], a, BITS) for a, b in ranges],
                  np.array([logits[a:b].max(axis=0) for a, b in ranges]), told)


def matrix(lessons):
    from scipy.sparse import csr_matrix

    rows = [row for one in lessons for row in one.rows]
    ends = np.cumsum([0, *(len(row) for row in rows)])
    return csr_matrix((np.ones(ends[-1], np.float32), np.concatenate(rows), ends),
                      shape=(len(rows), 1 << BITS))


def rarity(lessons):
    """How much the answers of each label weigh."""
    answers = sum(one.told.sum(axis=0) for one in lessons)
    return np.minimum(answers.mean() / answers, RARITY_MAX)


def fit(lessons, weights, seed):
    """Coefficients, by logistic regression on how far each sentence is worth reading; where it is,
    it weighs as its labels do. The threshold comes later, so that there is no bias."""
    from scipy.sparse import vstack
    from sklearn.linear_model import SGDClassifier

    best = np.concatenate([one.best for one in lessons])
    worth, odds = sigmoid(best.max(axis=1) + SHIFT), sigmoid(best + SHIFT)
    weight = worth * (odds @ weights) / odds.sum(axis=1)
    features = matrix(lessons)
    model = SGDClassifier(loss="log_loss", alpha=ALPHA, max_iter=30, average=True,
                          random_state=seed)
    model.fit(vstack([features, features]), np.repeat([1, 0], len(best)),
              sample_weight=np.r_[weight, 1.0 - worth])
    return model.coef_[0]


def least_score(ranges, scores, opening, share):
    """The threshold that reads this share of the tokens of documents, their openings included."""
    lengths = [(score, b - a, a < opening) for found, of in zip(ranges, scores)
               for (a, b), score in zip(found, of)]
    wanted = share * sum(length for _, length, _ in lengths)
    wanted -= sum(length for _, length, is_opening in lengths if is_opening)
    rest = sorted(((score, length) for score, length, is_opening in lengths if not is_opening),
                  reverse=True)
    return rest[int(np.searchsorted(np.cumsum([length for _, length in rest]), wanted))][0]


def kept(lessons, scores, opening, threshold):
    """Of the confidence of each label's best answer in each document, the share that is read;
    the average over labels."""
    all_told, read_told = 0.0, 0.0
    for one, of in zip(lessons, scores):
        read = np.array([a < opening for a, _ in one.ranges]) | (np.asarray(of) >= threshold)
        all_told = all_told + one.told.max(axis=0)
        read_told = read_told + (one.told * read[:, None]).max(axis=0)
    there = all_told > 0
    return float(np.mean(read_told[there] / all_told[there]))


def share_by_folds(lessons, weights, opening, wanted, seed):
    """The least share of the tokens that keeps `wanted` of what gates find that were taught by
    other documents, and what it keeps."""
    scores = [None] * len(lessons)
    for fold in range(FOLDS):
        coefficients = fit([one for i, one in enumerate(lessons) if i % FOLDS != fold], weights,
                           seed)
        for i in range(fold, len(lessons), FOLDS):
            scores[i] = matrix([lessons[i]]) @ coefficients
    ranges = [one.ranges for one in lessons]
    for share in SHARES:
        found = kept(lessons, scores, opening, least_score(ranges, scores, opening, share))
        if found >= wanted:
            return share, found
    raise SystemExit(f"no share keeps {wanted}")


def main():
    from data import load_documents, load_tokenizer, read_labels
    from evaluate import gated, predict, summarise
    from infer import Scorer, cached_logits

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--revision", required=True)
    parser.add_argument("--kept", type=float, default=0.986,
                        help="least share of the best answer of each label that is still read")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    folder = Path(args.bundle)
    bundle = json.loads((folder / "bundle.json").read_text())
    bundle.pop("gate", None)
    names = read_labels(args.data)
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    window = bundle["window"]
    content, stride = window["tokens_max"] - 2, window["stride"]
    scorer = Scorer(folder / "model.onnx", window["tokens_max"], stride, args.threads)

    lessons = []
    for document in load_documents(args.data, "train", tokenizer, names):
        logits = scorer.document(document.ids)
        (found,), _ = predict([document], [logits], names, bundle)
        lessons.append(lesson(document, logits, found))
    weights = rarity(lessons)
    share, by_folds = share_by_folds(lessons, weights, content, args.kept, args.seed)
    coefficients = fit(lessons, weights, args.seed)
    coefficients = np.rint(coefficients * (32767 / np.abs(coefficients).max())).astype("<i2")

    documents = load_documents(args.data, "dev", tokenizer, names)
    logits = cached_logits(scorer, documents, folder / "model.onnx")
    whole, flags = predict(documents, logits, names, bundle)
    lessons = [lesson(*one) for one in zip(documents, logits, whole)]
    ranges = [one.ranges for one in lessons]
    gate = Gate(coefficients, {"threshold": 0, "opening": content, "margin": MARGIN,
                               "joined": JOINED, "unread": UNREAD})
    scores = [gate.scores(d.ids, found) for d, found in zip(documents, ranges)]
    gate.settings["threshold"] = least_score(ranges, scores, content, share)
    on_dev = kept(lessons, scores, content, gate.settings["threshold"])

    def figures(predictions, flags):
        report = summarise(names, documents, predictions, flags, bundle)
        return {key: round(report[key], 4) for key in ("flag_map", "span_aupr_one_to_one")}

    def rows_of(found):
        return sum(end - start + 2 for start, end, _, _ in found)

    everything = sum(rows_of(over(len(d.ids), content, stride)) for d in documents)
    found = [gate.places(d.ids, r, content, stride) for d, r in zip(documents, ranges)]
    left = [gated(scorer, gate, document) for document in documents]
    print(json.dumps({"share": share, "kept_by_folds": round(by_folds, 4),
                      "kept_on_dev": round(on_dev, 4),
                      "read": round(sum(map(rows_of, found)) / everything, 4),
                      "all": figures(whole, flags),
                      "gated": figures(*predict(documents, left, names, bundle))}))

    coefficients.tofile(folder / FILE)
    bundle["files"][FILE] = hashlib.sha256((folder / FILE).read_bytes()).hexdigest()
    bundle["revision"] = args.revision
    entries = list(bundle.items())
    at = list(bundle).index("files")
    bundle = dict([*entries[:at], ("gate", gate.settings), *entries[at:]])
    (folder / "bundle.json").write_text(json.dumps(bundle, indent=1) + "\n")


if __name__ == "__main__":
    main()
