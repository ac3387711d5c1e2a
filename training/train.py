"""Trains the tagger. Checkpoints after every epoch; the last one is OUT/last.pt."""

import argparse
import json
import math
import os
import time
from pathlib import Path

# Spinning threads cost throughput when the machine has other work; must precede torch.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
import torch.nn.functional as F

from data import (
    PHRASE_LABELS, epoch_windows, load_documents, load_tokenizer, make_batch, read_labels,
)
from model import TokenTagger, find_base


def label_prior(documents, n_labels):
    positive = np.zeros(n_labels)
    for document in documents:
        for label, first, last in document.spans:
            positive[label] += last - first
    return positive / sum(len(document.ids) for document in documents)


def positive_weights(count, power):
    """Weight of the positives: above 1 for labels rarer than the median one, at most 4."""
    weights = np.clip((np.median(count) / np.maximum(count, 1)) ** power, 1.0, 4.0)
    return torch.tensor(weights, dtype=torch.float32)


def loss_of(logits, mask, targets, sentence, count, clause_labels, positive):
    """Losses of the tokens, of the mean logit of each sentence, which is what the decoder ranks by
    (it counts a short sentence as much as a long one), and of the best token of each window."""
    token = F.binary_cross_entropy_with_logits(
        logits, targets, reduction="none", pos_weight=positive).sum(-1)
    token = token[mask].mean()
    inside = sentence >= 0
    index = sentence[inside]
    size = torch.zeros(count).index_add_(0, index, torch.ones(len(index)))[:, None]
    mean = torch.zeros(count, logits.shape[-1]).index_add_(0, index, logits[inside]) / size
    share = torch.zeros(count, logits.shape[-1]).index_add_(0, index, targets[inside]) / size
    sent = F.binary_cross_entropy_with_logits(
        mean, (share > 0.5).float(), reduction="none", pos_weight=positive)
    # The flag of a contract rests on its best token, so the best token of a window is trained on.
    peak = logits.masked_fill(~mask[..., None].bool(), -1e4).amax(1)
    flag = F.binary_cross_entropy_with_logits(
        peak, targets.amax(1), reduction="none", pos_weight=positive)
    return token, (sent * clause_labels).sum(-1).mean(), flag.sum(-1).mean()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--base", help="folder of the base encoder (default: installed package)")
    parser.add_argument("--resume", help="start from this checkpoint, not from the base")
    parser.add_argument("--rare-power", type=float, default=0.0, help="see positive_weights")
    parser.add_argument("--rare-passes", type=int, default=0, help="extra passes for rare labels")
    parser.add_argument("--rare-spans", type=int, default=130, help="fewer spans make a label rare")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=1e9, help="end the schedule by then")
    parser.add_argument("--tokens", type=int, default=256, help="window size")
    parser.add_argument("--rows", type=int, default=16, help="windows in a batch")
    parser.add_argument("--lr", type=float, default=2.5e-4)
    parser.add_argument("--head-lr", type=float, default=1e-3)
    parser.add_argument("--negatives", type=float, default=0.4)
    parser.add_argument("--sentence-weight", type=float, default=1.0)
    parser.add_argument("--window-weight", type=float, default=0.0)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    rng = np.random.default_rng(args.seed)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    base = find_base(args.base)
    labels = read_labels(args.data)
    documents = load_documents(args.data, "train", load_tokenizer(base / "tokenizer.json"), labels)
    model = TokenTagger.from_base(base, len(labels), label_prior(documents, len(labels)))
    if args.resume:
        model.load_state_dict(torch.load(args.resume, weights_only=True))
    model.dropout = args.dropout
    count = np.bincount([label for d in documents for label, _, _ in d.spans], minlength=len(labels))
    positive = positive_weights(count, args.rare_power)
    # Answers shorter than a sentence take no part in the sentence loss.
    clause_labels = torch.tensor([float(name not in PHRASE_LABELS) for name in labels])

    head = list(model.head.parameters())
    rest = [p for name, p in model.named_parameters() if not name.startswith("head.")]
    groups = [
        {"params": [p for p in rest if p.ndim > 1], "lr": args.lr, "weight_decay": 0.01},
        {"params": [p for p in rest if p.ndim == 1], "lr": args.lr, "weight_decay": 0.0},
        {"params": head, "lr": args.head_lr, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, fused=True)
    peak = [group["lr"] for group in groups]
    content = args.tokens - 2

    rare = frozenset(np.flatnonzero(count < args.rare_spans).tolist())
    epochs = [epoch_windows(documents, content, args.negatives, rng, rare, args.rare_passes)
              for _ in range(args.epochs)]
    total = sum(math.ceil(len(windows) / args.rows) for windows in epochs)
    began, step, seen = time.time(), 0, 0
    recent = []
    model.train()
    for epoch, windows in enumerate(epochs):
        for at in range(0, len(windows), args.rows):
            progress = max(step / total, (time.time() - began) / 60 / args.minutes)
            if progress >= 1:
                break
            factor = min(1.0, progress / 0.05 + 1e-3) * min(1.0, (1 - progress) / 0.95)
            for group, value in zip(optimizer.param_groups, peak):
                group["lr"] = value * factor
            batch = make_batch(documents, windows[at : at + args.rows], content, len(labels))
            ids, mask, targets, sentence = (torch.from_numpy(part) for part in batch[:4])
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(ids, None if mask.all() else mask)
            parts = loss_of(logits.float(), mask, targets, sentence, batch[4], clause_labels, positive)
            token, sent, flag = parts
            (token + args.sentence_weight * sent + args.window_weight * flag).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            step += 1
            seen += ids.numel()
            recent.append([part.item() for part in parts])
            if step % 50 == 0:
                mean = np.mean(recent, axis=0)
                recent.clear()
                print(json.dumps({
                    "epoch": epoch, "step": step, "of": total, "progress": round(progress, 4),
                    "token_loss": round(float(mean[0]), 5), "sentence_loss": round(float(mean[1]), 5),
                    "window_loss": round(float(mean[2]), 5),
                    "tokens_per_s": round(seen / (time.time() - began)),
                    "minutes": round((time.time() - began) / 60, 1),
                }), flush=True)
            if step % 400 == 0:
                torch.save(model.state_dict(), out / "partial.tmp")
                os.replace(out / "partial.tmp", out / "partial.pt")
        torch.save(model.state_dict(), out / f"epoch{epoch}.pt")
    torch.save(model.state_dict(), out / "last.pt")


if __name__ == "__main__":
    main()
