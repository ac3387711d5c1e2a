"""Linear baseline of the classes heads: TF-IDF of words and characters, logistic regression.
Prints the accuracy by head; `--split dev` or `test`."""

import argparse
import json

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union

from heads import recipes
from heads.data import chosen


def accuracy(train, test, left_out):
    """Of all texts whose right class is not `left_out`, when trained with that class too."""
    features = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, max_features=60000))
    model = make_pipeline(features, LogisticRegression(C=20.0, max_iter=200))
    model.fit(*zip(*train))
    test = [(text, label) for text, label in test if label != left_out]
    return model.score(*zip(*test))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--heads", help="names (default: all)")
    parser.add_argument("--split", choices=("dev", "test"), default="dev")
    args = parser.parse_args()
    recipe = recipes.load(args.recipe)
    out = {}
    for head in chosen(recipe.heads(args.data), args.heads):
        if head.kind == "classes":
            parts = [[(r.text, r.classes[head.name]) for r in recipe.read(args.data, part)
                      if head.name in r.classes] for part in ("train", args.split)]
            out[head.name] = accuracy(*parts, getattr(recipe, "OUT_OF_SCOPE", None))
    print(json.dumps({"split": args.split, "accuracy": out}, indent=1))


if __name__ == "__main__":
    main()
