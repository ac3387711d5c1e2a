"""Linear baseline of the clinical-notes figures: one logistic model over the words around a word
for each head, the same tags, the same scores. Prints JSON; nothing of it is shipped.
"""

import argparse
import json
import re

from sklearn.feature_extraction import FeatureHasher
from sklearn.linear_model import SGDClassifier

from clinical import sources
from clinical.evaluate import entity_figures, identifier_figures
from heads import recipes
from heads.data import flat
from heads.decode import entity_spans, viterbi

WORD = re.compile(r"\w+|[^\w\s]")


def shape(word):
    return re.sub(r"(.)\1+", r"\1+", re.sub(r"[a-z]", "a", re.sub(r"[A-Z]", "A", re.sub(r"\d", "0", word))))


def features(words):
    """For every word: itself, its ends and its shape, and those of the words beside it."""
    padded = ["<", "<", *words, ">", ">"]
    for i in range(2, len(padded) - 2):
        word = padded[i]
        out = [f"pre={word[:3].lower()}", f"suf={word[-3:].lower()}", f"suf2={word[-2:].lower()}"]
        for k in range(-2, 3):
            out += [f"w{k}={padded[i + k].lower()}", f"s{k}={shape(padded[i + k])}"]
        out += [f"b{k}={padded[i + k].lower()} {padded[i + k + 1].lower()}" for k in (-1, 0)]
        yield out


def tags_of(words, spans, labels):
    """Columns O, B-1, I-1, ... by word; -1 where unknown."""
    tags = [0] * len(words)
    for label, a, b in flat(spans):
        inside = [i for i, (_, x, y) in enumerate(words) if x < b and a < y]
        for turn, i in enumerate(inside):
            tags[i] = 1 + 2 * labels.index(label) + (turn > 0) if label in labels else -1
    return tags


def words_of(text):
    return [(m.group(), *m.span()) for m in WORD.finditer(text)]


class Tagger:
    def __init__(self, head):
        self.labels = head.labels
        self.hasher = FeatureHasher(2**18, input_type="string")
        self.model = SGDClassifier("log_loss", alpha=1e-5, max_iter=12, random_state=1, n_jobs=1)

    def fit(self, records, name):
        rows, tags = [], []
        for record in records:
            words = words_of(record.text)
            for row, tag in zip(features([w for w, _, _ in words]),
                                tags_of(words, record.spans[name], self.labels)):
                if tag >= 0:
                    rows.append(row)
                    tags.append(tag)
        self.model.fit(self.hasher.transform(rows), tags)

    def find(self, text):
        words = words_of(text)
        if not words:
            return []
        known = self.model.predict_log_proba(self.hasher.transform(features([w for w, _, _ in words])))
        rows = [[-30.0] * (1 + 2 * len(self.labels)) for _ in words]
        for row, values in zip(rows, known):
            for column, value in zip(self.model.classes_, values):
                row[column] = max(float(value), -30.0)
        return [(self.labels[k], words[a][1], words[b - 1][2]) for k, a, b in entity_spans(viterbi(rows))]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--split", choices=("dev", "test"), default="dev")
    args = parser.parse_args()
    recipe = recipes.load("clinical-notes")
    train = {"entities": sources.maccrobat(args.data, "train"), "phi": sources.asq_phi(args.data, "train")}
    train["history"] = train["entities"]
    taggers = {}
    for head in recipe.heads(args.data):
        taggers[head.name] = Tagger(head)
        taggers[head.name].fit(train[head.name], head.name)
    reports, asq = sources.maccrobat(args.data, args.split), sources.asq_phi(args.data, args.split)
    entities = entity_figures([(r, taggers["entities"].find(r.text) + taggers["history"].find(r.text))
                               for r in reports])
    phi = identifier_figures([(r, taggers["phi"].find(r.text)) for r in asq])
    print(json.dumps({"split": args.split, "entities": entities, "asq_phi": phi}, indent=1))


if __name__ == "__main__":
    main()
