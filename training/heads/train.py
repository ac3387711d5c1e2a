"""Trains a model of several heads. OUT/last.pt holds the weights, OUT/tokenizer.json and
OUT/run.json what belongs to them."""

import argparse
import json
import math
import os
import time
from collections import Counter
from pathlib import Path

# Spinning threads cost throughput when the machine has other work; must precede torch.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
import torch.nn.functional as F

from heads import recipes
from heads.data import (IGNORE, Encoded, chosen, encode, epoch_batches, make_batch, misspell,
                        open_tokenizer, special_ids)
from heads.model import HeadsModel, load, select
from heads.vocabulary import prune
from model import base_state, find_base


def spread(base, vocabulary, words, pieces):
    """The base's word vectors with those of a smaller vocabulary put in."""
    rows = sorted(pieces, key=pieces.get)
    out = base.clone()
    out[torch.tensor([vocabulary[piece] for piece in rows])] = words.float()
    return out


def cut(content, texts, pieces, args):
    """(tokenizer content, rows of the base): with --frequent a vocabulary cut down to the texts
    and `pieces`, else to `pieces` alone; the base's own where there are none."""
    vocabulary = content["model"]["vocab"]
    kept = {vocabulary[piece] for piece in pieces}
    if args.frequent is None:
        return prune(content, kept, 0) if kept else (content, list(range(len(vocabulary))))
    tokenizer, _ = open_tokenizer(content)
    count = Counter(i for text in texts for i in tokenizer.encode(text, add_special_tokens=False).ids)
    used = {i for i, times in count.items() if times >= args.least}
    # What an uncut start knows is no reason to keep all of it.
    known = kept if len(kept) < len(vocabulary) and not args.forget else set()
    return prune(content, used | known, args.frequent)


class Start:
    """Where training starts: tokenizer, model configuration and weights."""

    def __init__(self, args, texts):
        base = find_base(args.base)
        self.config = json.loads((base / "config.json").read_text())
        content = json.loads((base / "tokenizer.json").read_text())
        self.state, pieces = base_state(base), ()
        if args.init:
            folder = Path(args.init).parent
            mine = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
            pieces = mine["model"]["vocab"]
            self.config.update(json.loads((folder / "run.json").read_text())["shape"])
            state = torch.load(args.init, map_location="cpu", weights_only=True)
            state["words.weight"] = spread(self.state["words.weight"], content["model"]["vocab"],
                                           state["words.weight"], pieces)
            self.state = state
        self.content, rows = cut(content, texts, pieces, args)
        self.tokenizer, self.content = open_tokenizer(self.content)
        layers = list(range(self.config["num_hidden_layers"]))
        if args.layers:
            layers = [int(layer) for layer in args.layers.split(",")]
        self.state = select(self.state, rows, layers)
        self.config.update(vocab_size=len(rows), num_hidden_layers=len(layers))

    def save(self, out, name, heads, state):
        """The weights, and what they need to be read again."""
        shape = {key: self.config[key] for key in ("vocab_size", "num_hidden_layers")}
        text = json.dumps(self.content, ensure_ascii=False, separators=(",", ":"))
        (out / "tokenizer.json").write_text(text, encoding="utf-8")
        (out / "run.json").write_text(json.dumps(
            {"recipe": name, "heads": [head.name for head in heads], "shape": shape}) + "\n")
        torch.save(state, out / "last.pt")


def column_ranges(heads):
    """{name: (first, last + 1)} within the outputs of the head's kind."""
    out, at = {}, {"entities": 0, "classes": 0}
    for head in heads:
        out[head.name] = (at[head.kind], at[head.kind] + head.columns)
        at[head.kind] += head.columns
    return out


def hard_targets(tags, head):
    """One probability row a tag, smoothed."""
    rows = np.full((len(tags), head.columns), head.smoothing / head.columns, np.float32)
    rows[np.arange(len(tags)), tags] += 1.0 - head.smoothing
    return rows


def word_targets(head, example, first, last, mix):
    """(words of the range that are supervised, their target rows)."""
    keep, rows = np.arange(0), np.zeros((0, head.columns), np.float32)
    if head.name in example.tags:
        tags = example.tags[head.name][first:last]
        keep = np.flatnonzero(tags != IGNORE)
        rows = hard_targets(tags[keep], head)
    soft = getattr(example, "soft", {}).get(head.name)
    if soft is None:
        return keep, rows
    soft = soft[first:last].astype(np.float32)
    if head.name not in example.tags:
        return np.arange(last - first), soft
    return keep, (1 - mix) * rows + mix * soft[keep]


def class_target(head, example, mix):
    rows = []
    if head.name in example.classes:
        rows.append(hard_targets(np.array([example.classes[head.name]]), head)[0])
    soft = getattr(example, "soft", {}).get(head.name)
    if soft is not None:
        rows.append(soft.astype(np.float32))
    return (1 - mix) * rows[0] + mix * rows[1] if len(rows) == 2 else (rows or [None])[0]


def loss_of(head, batch, ranges, logits, mix):
    """(sum of the cross entropies, how many) of one head, logits cut to its columns."""
    at_row, at_token, targets = [], [], []
    for row, ((example, start), (first, last)) in enumerate(zip(batch, ranges)):
        if head.kind == "classes":
            target = class_target(head, example, mix)
            if target is not None:
                at_row.append([row])
                targets.append(target[None])
            continue
        keep, rows = word_targets(head, example, first, last, mix)
        at_row.append(np.full(len(keep), row))
        at_token.append(1 + example.first[first:last][keep] - start)
        targets.append(rows)
    if not targets or not sum(map(len, targets)):
        return None, 0
    rows = np.concatenate(at_row)
    picked = logits[rows] if head.kind == "classes" else logits[rows, np.concatenate(at_token)]
    target = torch.from_numpy(np.concatenate(targets))
    return -(target * F.log_softmax(picked.float(), -1)).sum(), len(rows)


def count_items(heads, batches):
    """How many words or texts each head supervises in an epoch."""
    count = dict.fromkeys((head.name for head in heads), 0)
    for example in (example for batch in batches for example, _ in batch):
        soft = getattr(example, "soft", {})
        for head in heads:
            if head.kind == "classes":
                count[head.name] += head.name in example.classes or head.name in soft
            elif head.name in example.tags or head.name in soft:
                count[head.name] += len(example.words)
    return count


def start_classes(model, examples, heads, special, content):
    """Class weights from the mean state of each class: the base is a sentence encoder, so
    training starts as a nearest-centroid classifier."""
    columns = column_ranges(heads)
    sums = torch.zeros(model.classes.weight.shape)
    model.eval()
    with torch.no_grad():
        for batch in epoch_batches(examples, content, 4096, 64, np.random.default_rng(0)):
            ids, mask, _ = make_batch(batch, content, special)
            ids, mask = torch.from_numpy(ids), torch.from_numpy(mask)
            with torch.autocast("cpu", torch.bfloat16):
                x = model.encode(ids, mask).float()
            mean = F.normalize((x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True), dim=-1)
            for row, (example, _) in enumerate(batch):
                for name, value in example.classes.items():
                    sums[columns[name][0] + value] += mean[row]
    for head in heads:
        if head.kind == "classes":
            a, b = columns[head.name]
            centred = F.normalize(sums[a:b], dim=-1)
            model.classes.weight.data[a:b] = 4.0 * (centred - centred.mean(0))
            model.classes.bias.data[a:b] = 0.0


def optimizer_of(model, args):
    heads = [p for name, p in model.named_parameters() if name.startswith(("head.", "classes."))]
    rest = [p for name, p in model.named_parameters() if not name.startswith(("head.", "classes."))]
    return torch.optim.AdamW([
        {"params": [p for p in rest if p.ndim > 1], "lr": args.lr, "weight_decay": 0.01},
        {"params": [p for p in rest if p.ndim == 1], "lr": args.lr, "weight_decay": 0.0},
        {"params": heads, "lr": args.head_lr, "weight_decay": 0.0},
    ], fused=True)


class Average:
    """Exponential moving average of the weights; shorter at first."""

    def __init__(self, model, decay):
        self.decay, self.count = decay, 0
        self.state = {k: v.detach().clone() for k, v in model.state_dict().items()}

    def update(self, model):
        self.count += 1
        decay = min(self.decay, self.count / (self.count + 10))
        for name, value in model.state_dict().items():
            self.state[name].lerp_(value, 1 - decay)


def attach_soft(examples, path):
    """Teacher's probabilities, by number of the record: `NUMBER/HEAD`."""
    stored = np.load(path)
    for name in stored.files:
        key, head = name.split("/")
        example = examples[int(key)]
        example.soft = {**getattr(example, "soft", {}), head: stored[name]}


class Trainer:
    def __init__(self, model, heads, start, args):
        self.model, self.heads, self.args = model, heads, args
        self.tokenizer, self.special = start.tokenizer, special_ids(start.tokenizer)
        self.columns, self.content = column_ranges(heads), args.tokens - 2
        self.optimizer = optimizer_of(model, args)
        self.peak = [group["lr"] for group in self.optimizer.param_groups]
        self.average = Average(model, args.average)
        self.rng = np.random.default_rng(args.seed)
        self.began = time.time()

    def noised(self, example):
        if self.rng.random() >= self.args.noise:
            return example
        other = Encoded(misspell(example.record, self.rng, 0.3), self.tokenizer, self.heads, example.key)
        other.soft = getattr(example, "soft", {})
        return other if len(other.words) == len(example.words) else example

    def step(self, batch, share, progress):
        factor = min(1.0, progress / 0.06 + 1e-3) * min(1.0, (1 - progress) / 0.94)
        for group, value in zip(self.optimizer.param_groups, self.peak):
            group["lr"] = value * factor
        ids, mask, ranges = make_batch(batch, self.content, self.special)
        hide = mask & (self.rng.random(ids.shape) < self.args.hide) & ~np.isin(ids, self.special)
        ids[hide] = self.tokenizer.token_to_id("[MASK]")
        with torch.autocast("cpu", torch.bfloat16):
            outputs = self.model(torch.from_numpy(ids), torch.from_numpy(mask))
        total, losses = 0.0, {}
        for head in self.heads:
            a, b = self.columns[head.name]
            logits = outputs[head.kind == "classes"][..., a:b]
            loss, n = loss_of(head, batch, ranges, logits, self.args.mix)
            if n:
                total = total + loss * share[head.name]
                losses[head.name] = (loss.item(), n)
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.average.update(self.model)
        return losses, ids.size

    def epoch(self, examples, epoch):
        args = self.args
        seen_now = [e for e in examples if self.rng.random() < e.record.keep]
        batches = epoch_batches([self.noised(e) for e in seen_now], self.content, args.budget,
                                args.rows, self.rng)
        count = count_items(self.heads, batches)
        share = {h.name: h.weight * len(batches) / max(1, count[h.name]) for h in self.heads}
        sums, seen = {}, 0
        for step, batch in enumerate(batches):
            progress = max((epoch + step / len(batches)) / args.epochs,
                           (time.time() - self.began) / 60 / args.minutes)
            if progress >= 1:
                return False
            losses, tokens = self.step(batch, share, progress)
            seen += tokens
            for name, (loss, n) in losses.items():
                total, items = sums.get(name, (0.0, 0))
                sums[name] = (total + loss, items + n)
        print(json.dumps({
            "epoch": epoch, "minutes": round((time.time() - self.began) / 60, 2), "tokens": seen,
            "loss": {name: round(total / n, 4) for name, (total, n) in sums.items()}}), flush=True)
        return True


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--data", required=True, help="folder of the data sets")
    parser.add_argument("--out", required=True)
    parser.add_argument("--base", help="folder of the base encoder (default: installed package)")
    parser.add_argument("--init", help="weights to start from (a last.pt), heads that fit included")
    parser.add_argument("--split", default="train", help="records to train on")
    parser.add_argument("--heads", help="names of the heads to train (default: all)")
    parser.add_argument("--layers", help="layers kept of the start, e.g. 0,1,3,5 (default: all)")
    parser.add_argument("--frequent", type=int, help="prune the vocabulary, keep so many frequent pieces")
    parser.add_argument("--least", type=int, default=1, help="and those used so often in the texts")
    parser.add_argument("--forget", action="store_true", help="pieces of --init may leave as well")
    parser.add_argument("--soft", help="probabilities of a teacher (from heads.teach)")
    parser.add_argument("--mix", type=float, default=0.5, help="share of the teacher in known targets")
    parser.add_argument("--centroids", action="store_true", help="start classes from their centroids")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=1e9, help="end the schedule by then")
    parser.add_argument("--tokens", type=int, default=128, help="window size")
    parser.add_argument("--budget", type=int, default=1024, help="tokens in a batch")
    parser.add_argument("--rows", type=int, default=32, help="windows in a batch, at most")
    parser.add_argument("--lr", type=float, default=2e-4)
    parser.add_argument("--head-lr", type=float, default=1e-3)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--noise", type=float, default=0.0, help="share of texts with misspelt words")
    parser.add_argument("--hide", type=float, default=0.0, help="share of masked input tokens")
    parser.add_argument("--average", type=float, default=0.98, help="decay of the weight average")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=7)
    return parser.parse_args()


def main():
    args = parse()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    recipe = recipes.load(args.recipe)
    heads = chosen(recipes.trained_heads(recipe, args.data), args.heads)
    records = recipe.read(args.data, args.split)
    start = Start(args, [record.text for record in records])
    examples = encode(records, start.tokenizer, heads)
    if args.soft:
        attach_soft(examples, args.soft)
    examples = [e for e in examples if len(e.ids) and (e.tags or e.classes or getattr(e, "soft", {}))]
    model = HeadsModel(start.config, heads)
    fresh = load(model, start.state)
    content = args.tokens - 2
    if args.centroids and model.classes is not None:
        start_classes(model, examples, heads, special_ids(start.tokenizer), content)
    for name in fresh:
        if name == "head.weight":
            torch.nn.init.normal_(model.head.weight, std=0.02)
    print(json.dumps({"examples": len(examples), "fresh": fresh, **{
        key: start.config[key] for key in ("vocab_size", "num_hidden_layers")}}), flush=True)
    model.dropout = args.dropout
    trainer = Trainer(model, heads, start, args)
    model.train()
    for epoch in range(args.epochs):
        done = not trainer.epoch(examples, epoch)
        start.save(out, args.recipe, heads, trainer.average.state)
        if done:
            break


if __name__ == "__main__":
    main()
