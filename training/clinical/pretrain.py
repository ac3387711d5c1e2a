"""First stage: the encoder learns medical text from all the sets at once, part of its input masked.

Every head is trained where a text is annotated for it, and the masked tokens are predicted, all in
one pass. Writes OUT/pretrained.pt (encoder and the columns of the shipped heads) and the pruned
tokenizer. The weights are a start for `clinical.train`, not a model to ship.
"""

import argparse
import csv
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import nn

from clinical import headers, sources
from heads.data import Head, Record, encode, epoch_batches, make_batch, special_ids
from heads.model import HeadsModel, columns_of, load, select
from heads.vocabulary import prune
from model import base_state, find_base

SHIPPED = (
    Head("entities", "entities", sources.ENTITIES),
    Head("entities", "history", sources.HISTORY, weight=0.5),
    Head("entities", "phi", sources.PHI),
)
HELPING = (
    Head("entities", "other", sources.OTHER, weight=0.5),
    Head("entities", "bc5cdr", ("Chemical", "Disease"), weight=0.7),
    Head("entities", "ncbi", ("Disease",), weight=0.7),
)
MASKED_SHARE, MASKED_WEIGHT = 0.12, 0.3
FREQUENT_PIECES = 6000


def tokens_of(text_tokenizer):
    text_tokenizer.no_truncation()
    text_tokenizer.no_padding()
    return text_tokenizer


def section_texts(data):
    with open(Path(data) / "mts_dialog" / "train.csv", encoding="utf-8", newline="") as rows:
        return [Record(f"mts-{i}", row["section_text"]) for i, row in enumerate(csv.DictReader(rows))]


def pruned_tokenizer(data, records, out):
    """Writes OUT/tokenizer.json and OUT/rows.json (the base rows that are kept)."""
    content = json.loads((find_base() / "tokenizer.json").read_text("utf-8"))
    content["truncation"] = content["padding"] = None
    full = Tokenizer.from_str(json.dumps(content))
    names = " ".join((*headers.FIRST, *headers.LAST, *headers.TOWNS, *headers.STREETS))
    texts = [record.text for record in records] + [names]
    used = {i for e in full.encode_batch(texts, add_special_tokens=False) for i in e.ids}
    content, rows = prune(content, used, FREQUENT_PIECES)
    (out / "tokenizer.json").write_text(
        json.dumps(content, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    (out / "rows.json").write_text(json.dumps(rows))
    return rows


class Pretrainer(HeadsModel):
    """With the usual masked-word head: a layer, then the word vectors themselves as output."""

    def __init__(self, config, heads):
        super().__init__(config, heads)
        hidden = config["hidden_size"]
        self.masked = nn.Sequential(nn.Linear(hidden, hidden), nn.GELU(), nn.LayerNorm(hidden))
        self.masked_bias = nn.Parameter(torch.zeros(config["vocab_size"]))

    def forward(self, ids, mask, chosen):
        x = self.encode(ids, None if mask.all() else mask)
        words = F.linear(self.masked(x[chosen]), self.words.weight, self.masked_bias)
        return self.head(x), words


def mask_words(ids, mask, special, size, rng):
    """BERT's rule: of the chosen tokens 80 % become [MASK], 10 % another piece, 10 % stay."""
    plain = mask & ~np.isin(ids, special)
    chosen = plain & (rng.random(ids.shape) < MASKED_SHARE)
    kind = rng.random(ids.shape)
    out = np.where(chosen & (kind < 0.8), special[3], ids)
    return np.where(chosen & (kind >= 0.9), rng.integers(len(special), size, ids.shape), out), chosen


def head_losses(logits, batch, ranges, heads):
    """Weighted sum of the cross-entropies of the heads, over the first tokens of words."""
    total, column = 0.0, 0
    for head in heads:
        part = logits[..., column : column + head.columns]
        column += head.columns
        rows, columns, tags = [], [], []
        for row, ((example, start), (first, last)) in enumerate(zip(batch, ranges)):
            if head.name in example.tags and last > first:
                rows.append(np.full(last - first, row))
                columns.append(example.first[first:last] - start + 1)
                tags.append(example.tags[head.name][first:last])
        if not rows:
            continue
        tags = torch.from_numpy(np.concatenate(tags))
        if (tags >= 0).any():
            picked = part[torch.from_numpy(np.concatenate(rows)), torch.from_numpy(np.concatenate(columns))]
            total = total + head.weight * F.cross_entropy(picked, tags)
    return total


def epoch_records(sets, epoch):
    """Every set once, the small ones twice; of NCBI, which is large, one half in turn."""
    notes = [headers.with_headers(note, 1000 * epoch + i) for i, note in enumerate(sets["aci"])]
    reports = [headers.with_headers(r, 5000 * (epoch + 1) + i) for i, r in enumerate(sets["maccrobat"])]
    return [*sets["maccrobat"], *reports, *sets["bc5cdr"], *sets["ncbi"][epoch % 2 :: 2],
            *sets["asq"], *sets["presidio"], *notes, *sets["mts"][epoch % 2 :: 2]]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=1e9, help="end the schedule by then")
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--head-lr", type=float, default=1.5e-3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=5)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    rng = np.random.default_rng(args.seed)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    data = args.data
    sets = {
        "maccrobat": sources.maccrobat(data, "train"),
        "bc5cdr": sources.bc5cdr(data, "train") + sources.bc5cdr(data, "devel"),
        "ncbi": sources.ncbi(data, "train") + sources.ncbi(data, "devel"),
        "asq": sources.asq_phi(data, "train"), "presidio": sources.presidio(data, "train"),
        "aci": sources.aci_notes(data, "train"), "mts": section_texts(data),
    }
    rows = pruned_tokenizer(data, [r for records in sets.values() for r in records], out)
    tokenizer = tokens_of(Tokenizer.from_file(str(out / "tokenizer.json")))
    heads = SHIPPED + HELPING
    base = find_base()
    config = {**json.loads((base / "config.json").read_text()), "vocab_size": len(rows)}
    model = Pretrainer(config, heads)
    load(model, select(base_state(base), rows, list(range(config["num_hidden_layers"]))))
    model.dropout = 0.1
    batches = [epoch_batches(encode(epoch_records(sets, e), tokenizer, heads), 254, 4096, 128, rng)
               for e in range(args.epochs)]
    train(model, heads, batches, tokenizer, args, rng)
    state = model.state_dict()
    shipped = columns_of(SHIPPED, "entities")
    keep = {k: v for k, v in state.items() if not k.startswith(("masked", "head."))}
    keep |= {f"head.{k}": state[f"head.{k}"][:shipped].clone() for k in ("weight", "bias")}
    torch.save(keep, out / "pretrained.pt")


def train(model, heads, batches, tokenizer, args, rng):
    fresh = [p for n, p in model.named_parameters() if n.startswith(("head.", "masked"))]
    rest = [p for n, p in model.named_parameters() if not n.startswith(("head.", "masked"))]
    optimizer = torch.optim.AdamW([
        {"params": [p for p in rest if p.ndim > 1], "lr": args.lr, "weight_decay": 0.01},
        {"params": [p for p in rest if p.ndim == 1], "lr": args.lr, "weight_decay": 0.0},
        {"params": fresh, "lr": args.head_lr, "weight_decay": 0.0},
    ], fused=True)
    peak = [group["lr"] for group in optimizer.param_groups]
    cls, sep, pad = special_ids(tokenizer)
    special = (cls, sep, pad, tokenizer.token_to_id("[MASK]"))
    began, step, seen, recent = time.time(), 0, 0, []
    total = sum(map(len, batches))
    model.train()
    for batch in (batch for epoch in batches for batch in epoch):
        progress = max(step / total, (time.time() - began) / 60 / args.minutes)
        if progress >= 1:
            break
        factor = min(1.0, progress / 0.06 + 1e-3) * min(1.0, (1 - progress) / 0.94)
        for group, value in zip(optimizer.param_groups, peak):
            group["lr"] = value * factor
        ids, mask, ranges = make_batch(batch, 254, (cls, sep, pad))
        masked, chosen = mask_words(ids, mask, special, model.words.num_embeddings, rng)
        chosen_t = torch.from_numpy(chosen)
        with torch.autocast("cpu", torch.bfloat16):
            logits, words = model(torch.from_numpy(masked), torch.from_numpy(mask), chosen_t)
        tagging = head_losses(logits.float(), batch, ranges, heads)
        guess = F.cross_entropy(words.float(), torch.from_numpy(ids)[chosen_t])
        (tagging + MASKED_WEIGHT * guess).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step, seen = step + 1, seen + ids.size
        recent.append((float(tagging), float(guess)))
        if step % 20 == 0:
            mean = np.mean(recent, axis=0).round(4).tolist()
            recent.clear()
            print(json.dumps({"step": step, "of": total, "progress": round(progress, 3),
                              "tagging": mean[0], "masked": mean[1],
                              "tokens_per_s": round(seen / (time.time() - began))}), flush=True)


if __name__ == "__main__":
    main()
