"""The gate: which sentences the model reads. DECODER.md, section 10, says the same in words.

As a program it trains the gate of a bundle: what the model finds in the training contracts teaches
it, and the threshold is chosen on dev. Nothing here sees the test split."""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np

import decode
from infer import over

FILE = "gate.bin"
# Stand before the first token of a sentence and behind the last one: ids that no text has.
EDGES = (1, 2)
# Tell features of one token, of two and of the place apart.
SALTS = (1, 2, 3)

BITS = 17
ALPHA = 1e-4
MARGIN, JOINED = 8, 8
# Logit of a token that the model has not read: about the median of those that it has.
UNREAD = -11.0
# A sentence is worth reading by the sigmoid of its largest logit plus this: half where the model
# gives some label of some token this odds.
SHIFT = 1.0
# Shares of the tokens of dev that thresholds are tried for, least first.
SHARES = [round(0.30 + 0.01 * k, 2) for k in range(60)]


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


def taught(scorer, document):
    """The largest logit of each sentence, and the sentences."""
    ranges = decode.sentences(document.text, document.starts.tolist())
    logits = scorer.document(document.ids)
    return np.array([logits[a:b].max() for a, b in ranges], np.float32), ranges


def fit(rows, worth, bits, seed):
    """Weights, by logistic regression on how far each sentence is worth reading. The threshold
    comes later, so that there is no bias."""
    from scipy.sparse import csr_matrix, vstack
    from sklearn.linear_model import SGDClassifier

    ends = np.cumsum([0, *(len(row) for row in rows)])
    matrix = csr_matrix((np.ones(ends[-1], np.float32), np.concatenate(rows), ends),
                        shape=(len(rows), 1 << bits))
    targets = np.repeat([1, 0], len(rows))
    model = SGDClassifier(loss="log_loss", alpha=ALPHA, max_iter=30, average=True,
                          random_state=seed)
    model.fit(vstack([matrix, matrix]), targets, sample_weight=np.r_[worth, 1.0 - worth])
    weights = model.coef_[0]
    return np.rint(weights * (32767 / np.abs(weights).max())).astype("<i2")


def expected(documents, predictions, ranges):
    """How many right answers the model tells in each sentence: the sum of its confidences."""
    out = []
    for found, sentences in zip(predictions, ranges):
        told, ends = np.zeros(len(sentences)), [last for _, last in sentences]
        for span in found:
            told[np.searchsorted(ends, span.first, side="right")] += span.confidence
        out.append(told)
    return out


def main():
    from data import load_documents, load_tokenizer, read_labels
    from evaluate import gated, predict, summarise
    from infer import Scorer, cached_logits

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--revision", required=True)
    parser.add_argument("--kept", type=float, default=0.98,
                        help="least share of the right answers expected on dev that is still read")
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

    rows, worth = [], []
    for document in load_documents(args.data, "train", tokenizer, names):
        best, ranges = taught(scorer, document)
        rows += [slots(document.ids[a:b], a, BITS) for a, b in ranges]
        worth.append(1.0 / (1.0 + np.exp(-(best + SHIFT))))
    weights = fit(rows, np.concatenate(worth), BITS, args.seed)

    documents = load_documents(args.data, "dev", tokenizer, names)
    logits = cached_logits(scorer, documents, folder / "model.onnx")
    ranges = [decode.sentences(d.text, d.starts.tolist()) for d in documents]
    whole, flags = predict(documents, logits, names, bundle)
    answers = expected(documents, whole, ranges)
    gate = Gate(weights, {"threshold": 0, "opening": content, "margin": MARGIN, "joined": JOINED,
                          "unread": UNREAD})
    scores = [gate.scores(d.ids, found) for d, found in zip(documents, ranges)]
    order = sorted(((score, b - a) for s, found in zip(scores, ranges)
                    for score, (a, b) in zip(s, found)), reverse=True)
    tokens = np.cumsum([length for _, length in order])
    for share in SHARES:
        gate.settings["threshold"] = order[int(np.searchsorted(tokens, share * tokens[-1]))][0]
        read = [gate.read(found, score) for found, score in zip(ranges, scores)]
        kept = sum(told[mask].sum() for told, mask in zip(answers, read))
        kept /= sum(told.sum() for told in answers)
        if kept >= args.kept:
            break
    else:
        raise SystemExit(f"no threshold keeps {args.kept} of the answers")

    def figures(predictions, flags):
        report = summarise(names, documents, predictions, flags, bundle)
        return {key: round(report[key], 4) for key in ("flag_map", "span_aupr_one_to_one")}

    def rows_of(found):
        return sum(end - start + 2 for start, end, _, _ in found)

    everything = sum(rows_of(over(len(d.ids), content, stride)) for d in documents)
    found = [gate.places(d.ids, r, content, stride) for d, r in zip(documents, ranges)]
    left = [gated(scorer, gate, document) for document in documents]
    print(json.dumps({"share": share, "kept": round(float(kept), 4),
                      "read": round(sum(map(rows_of, found)) / everything, 4),
                      "all": figures(whole, flags),
                      "gated": figures(*predict(documents, left, names, bundle))}))

    weights.tofile(folder / FILE)
    bundle["files"][FILE] = hashlib.sha256((folder / FILE).read_bytes()).hexdigest()
    bundle["revision"] = args.revision
    entries = list(bundle.items())
    at = list(bundle).index("files")
    bundle = dict([*entries[:at], ("gate", gate.settings), *entries[at:]])
    (folder / "bundle.json").write_text(json.dumps(bundle, indent=1) + "\n")


if __name__ == "__main__":
    main()
