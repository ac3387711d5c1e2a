"""Probabilities of one or several trained models (their mean) for the records of a split, for
heads.train --soft. Words are the same for every vocabulary, so teacher and pupil may differ in it."""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from heads import recipes
from heads.data import chosen, encode, make_batch, special_ids
from heads.model import HeadsModel
from heads.train import column_ranges, open_tokenizer
from model import find_base


def answers(path, base, records, heads, content):
    """{`NUMBER/HEAD`: probabilities, a row a word for entities} of one model; texts longer than a
    window are left out."""
    path = Path(path)
    run = json.loads((path.parent / "run.json").read_text())
    heads = chosen(heads, ",".join(run["heads"]))
    config = {**json.loads((find_base(base) / "config.json").read_text()), **run["shape"]}
    tokenizer, _ = open_tokenizer(json.loads((path.parent / "tokenizer.json").read_text(encoding="utf-8")))
    model = HeadsModel(config, heads)
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    model.eval()
    columns, special, out = column_ranges(heads), special_ids(tokenizer), {}
    for example in encode(records, tokenizer, ()):
        if not 0 < len(example.ids) <= content:
            continue
        ids, mask, _ = make_batch([(example, 0)], content, special)
        with torch.no_grad():
            tokens, classes = model(torch.from_numpy(ids), torch.from_numpy(mask))
        for head in heads:
            a, b = columns[head.name]
            logits = classes[0, a:b] if head.kind == "classes" else tokens[0, 1 + example.first, a:b]
            out[f"{example.key}/{head.name}"] = torch.softmax(logits, -1).numpy()
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--checkpoint", required=True, nargs="+")
    parser.add_argument("--out", required=True, help="an .npz file")
    parser.add_argument("--base")
    parser.add_argument("--split", default="raw")
    parser.add_argument("--heads", help="names of the heads that teach (default: all)")
    parser.add_argument("--tokens", type=int, default=128)
    args = parser.parse_args()
    torch.set_num_threads(2)
    recipe = recipes.load(args.recipe)
    records, heads = recipe.read(args.data, args.split), recipe.heads(args.data)
    wanted = set(args.heads.split(",")) if args.heads else {head.name for head in heads}
    found = [answers(path, args.base, records, heads, args.tokens - 2) for path in args.checkpoint]
    out = {}
    for key in set.union(*map(set, found)):
        if key.split("/")[1] in wanted:
            parts = [part[key] for part in found if key in part]
            out[key] = np.mean(parts, axis=0).astype(np.float16)
    np.savez(args.out, **out)


if __name__ == "__main__":
    main()
