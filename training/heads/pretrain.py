"""Continues the base's training on the recipe's raw texts by masked words, before heads.train
(`--init OUT/last.pt`): adapts it to the texts and heals a cut in layers or vocabulary."""

import argparse
import json
import os
import time
from pathlib import Path

# Spinning threads cost throughput when the machine has other work; must precede torch.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from heads import recipes
from heads.data import encode, epoch_batches, make_batch, special_ids
from heads.model import load
from heads.train import Start
from model import Trunk

MASKED = 0.2


class MaskedModel(Trunk):
    """Predicts masked tokens with the word vectors themselves behind one dense layer."""

    def __init__(self, config):
        super().__init__(config)
        self.turn = nn.Linear(config["hidden_size"], config["hidden_size"])
        self.turn_norm = nn.LayerNorm(config["hidden_size"], config["layer_norm_eps"])
        self.words_bias = nn.Parameter(torch.zeros(config["vocab_size"]))

    def forward(self, ids, mask, at):
        x = self.encode(ids, None if mask.all() else mask)[at]
        return F.linear(self.turn_norm(F.gelu(self.turn(x))), self.words.weight, self.words_bias)


def mask_words(batch, ids, content, rng, mask_id, vocabulary):
    """Hides whole words in `ids`: four in five masked, one in ten another piece, one in ten kept.
    Returns where they were."""
    hidden = np.zeros(ids.shape, bool)
    for row, (example, start) in enumerate(batch):
        for first, last in example.words:
            if start <= first and last <= start + content and rng.random() < MASKED:
                hidden[row, 1 + first - start : 1 + last - start] = True
    if not hidden.any():
        hidden[:, 1] = True
    turn = rng.random(ids.shape)
    ids[hidden & (turn < 0.8)] = mask_id
    other = hidden & (turn >= 0.8) & (turn < 0.9)
    ids[other] = rng.integers(vocabulary, size=int(other.sum()))
    return hidden


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--split", default="raw")
    parser.add_argument("--base")
    parser.add_argument("--init")
    parser.add_argument("--layers")
    parser.add_argument("--frequent", type=int)
    parser.add_argument("--least", type=int, default=1)
    parser.add_argument("--forget", action="store_true")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    rng = np.random.default_rng(args.seed)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    records = recipes.load(args.recipe).read(args.data, args.split)
    start = Start(args, [record.text for record in records])
    examples = [e for e in encode(records, start.tokenizer, ()) if len(e.words) > 1]
    model = MaskedModel(start.config)
    load(model, start.state)
    model.dropout, content, began, step = 0.1, args.tokens - 2, time.time(), 0
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.01, fused=True)
    special, mask_id = special_ids(start.tokenizer), start.tokenizer.token_to_id("[MASK]")
    model.train()
    for epoch in range(args.epochs):
        batches, losses = epoch_batches(examples, content, 2048, 128, rng), []
        for batch in batches:
            progress = step / len(batches) / args.epochs
            for group in optimizer.param_groups:
                group["lr"] = args.lr * min(1.0, progress / 0.06 + 1e-3) * max(0.0, 1 - progress)
            ids, mask, _ = make_batch(batch, content, special)
            truth = ids.copy()
            hidden = mask_words(batch, ids, content, rng, mask_id, start.config["vocab_size"])
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(torch.from_numpy(ids), torch.from_numpy(mask), torch.from_numpy(hidden))
            loss = F.cross_entropy(logits.float(), torch.from_numpy(truth[hidden]))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            losses.append(loss.item())
            step += 1
        print(json.dumps({"epoch": epoch, "loss": round(float(np.mean(losses)), 4),
                          "minutes": round((time.time() - began) / 60, 2)}), flush=True)
    state = {k: v for k, v in model.state_dict().items() if not k.startswith(("turn", "words_bias"))}
    start.save(out, args.recipe, (), state)


if __name__ == "__main__":
    main()
