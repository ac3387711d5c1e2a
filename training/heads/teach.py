"""Probabilities of one or several trained models (their mean) for the records of a split, for
heads.train --soft. Words are the same for every vocabulary, so teacher and pupil may differ in it."""

import argparse
import json
import os
from pathlib import Path

# Spinning threads cost throughput when the machine has other work; must precede torch.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch

from heads import recipes
from heads.data import chosen, encode, epoch_batches, make_batch, open_tokenizer, special_ids
from heads.model import HeadsModel
from heads.train import column_ranges
from model import find_base
from windows import over


def outputs(model, example, content, special):
    """(token logits or None, class logits or None); a long text window by window, as in use."""
    n, stride, tokens, classes = len(example.ids), content * 3 // 4, [], []
    for start, _, first, last in over(n, content, stride):
        ids, mask, _ = make_batch([(example, start)], content, special)
        with torch.no_grad():
            part, mean = model(torch.from_numpy(ids), torch.from_numpy(mask))
        tokens.append(None if part is None else part[0, 1 + first - start : 1 + last - start])
        classes.append(None if mean is None else mean[0])
    return (None if tokens[0] is None else torch.cat(tokens),
            None if classes[0] is None else torch.stack(classes).mean(0))


def all_outputs(model, examples, content, special):
    """(example, token logits or None, class logits or None); short texts in batches."""
    short = [e for e in examples if len(e.ids) <= content]
    for batch in epoch_batches(short, content, 4096, 64, np.random.default_rng(0)) if short else ():
        ids, mask, _ = make_batch(batch, content, special)
        with torch.no_grad():
            part, mean = model(torch.from_numpy(ids), torch.from_numpy(mask))
        for row, (example, _) in enumerate(batch):
            yield (example, None if part is None else part[row, 1 : 1 + len(example.ids)],
                   None if mean is None else mean[row])
    for example in examples:
        if len(example.ids) > content:
            yield example, *outputs(model, example, content, special)


def answers(path, base, records, heads, content):
    """{`NUMBER/HEAD`: probabilities, a row a word for entities} of one model."""
    path = Path(path)
    run = json.loads((path.parent / "run.json").read_text())
    heads = chosen(heads, ",".join(run["heads"]))
    config = {**json.loads((find_base(base) / "config.json").read_text()), **run["shape"]}
    tokenizer, _ = open_tokenizer(json.loads((path.parent / "tokenizer.json").read_text(encoding="utf-8")))
    model = HeadsModel(config, heads)
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    model.eval()
    columns, special, out = column_ranges(heads), special_ids(tokenizer), {}
    examples = [e for e in encode(records, tokenizer, ()) if len(e.ids)]
    for example, tokens, classes in all_outputs(model, examples, content, special):
        for head in heads:
            a, b = columns[head.name]
            logits = classes[a:b] if head.kind == "classes" else tokens[example.first, a:b]
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
    records, heads = recipe.read(args.data, args.split), recipes.trained_heads(recipe, args.data)
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
