"""First stage: the encoder learns medical text from all the sets at once, part of its input masked.

Every head is trained where a text is annotated for it, and the masked tokens are predicted, all in
one pass. Prunes the vocabulary, too. Writes OUT/last.pt (encoder and trained heads) and what
belongs to it: a start for `heads.train --init`, not a model to ship.
"""

import argparse
import csv
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

from clinical import headers, sources
from heads import recipes
from heads.data import Head, Record, encode, epoch_batches, make_batch, special_ids
from heads.model import HeadsModel, columns_of, load
from heads.train import Start, column_ranges, loss_of, optimizer_of

RECIPE = "clinical-notes"
EXTRA = (
    Head("entities", "bc5cdr", ("Chemical", "Disease"), weight=0.7),
    Head("entities", "ncbi", ("Disease",), weight=0.7),
)
MASKED_SHARE, MASKED_WEIGHT = 0.12, 0.3


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


def read_sets(data):
    with open(Path(data) / "mts_dialog" / "train.csv", encoding="utf-8", newline="") as rows:
        sections = [Record(f"mts-{i}", row["section_text"]) for i, row in enumerate(csv.DictReader(rows))]
    return {
        "maccrobat": sources.maccrobat(data, "train"),
        "bc5cdr": sources.bc5cdr(data, "train") + sources.bc5cdr(data, "devel"),
        "ncbi": sources.ncbi(data, "train") + sources.ncbi(data, "devel"),
        "asq": sources.asq_phi(data, "train"), "presidio": sources.presidio(data, "train"),
        "aci": sources.aci_notes(data, "train"), "mts": sections,
    }


def epoch_records(sets, epoch):
    """Every set once, the case reports again with fake identifiers; of NCBI and MTS-Dialog, which
    matter less here, one half in turn."""
    notes = [headers.with_headers(note, 1000 * epoch + i) for i, note in enumerate(sets["aci"])]
    reports = [headers.with_headers(r, 5000 * (epoch + 1) + i) for i, r in enumerate(sets["maccrobat"])]
    return [*sets["maccrobat"], *reports, *sets["bc5cdr"], *sets["ncbi"][epoch % 2 :: 2],
            *sets["asq"], *sets["presidio"], *notes, *sets["mts"][epoch % 2 :: 2]]


def mask_words(ids, mask, special, size, rng):
    """BERT's rule: of the chosen tokens 80 % become [MASK], 10 % another piece, 10 % stay."""
    chosen = mask & ~np.isin(ids, special) & (rng.random(ids.shape) < MASKED_SHARE)
    kind = rng.random(ids.shape)
    out = np.where(chosen & (kind < 0.8), special[3], ids)
    other = rng.integers(len(special), size, ids.shape)
    return np.where(chosen & (kind >= 0.9), other, out), chosen


def tagging_loss(heads, columns, batch, ranges, logits):
    """Sum over the heads of their weighted mean cross entropies."""
    total = torch.zeros(())
    for head in heads:
        a, b = columns[head.name]
        loss, count = loss_of(head, batch, ranges, logits[..., a:b], 0.0)
        if count:
            total = total + head.weight * loss / count
    return total


def train(model, heads, epochs, tokenizer, args):
    rng, special = np.random.default_rng(args.seed), special_ids(tokenizer)
    with_mask = (*special, tokenizer.token_to_id("[MASK]"))
    optimizer = optimizer_of(model, args)
    peak = [group["lr"] for group in optimizer.param_groups]
    columns, content, total = column_ranges(heads), args.tokens - 2, sum(map(len, epochs))
    began, seen, recent = time.time(), 0, []
    model.train()
    for step, batch in enumerate(batch for batches in epochs for batch in batches):
        progress = max(step / total, (time.time() - began) / 60 / args.minutes)
        if progress >= 1:
            break
        factor = min(1.0, progress / 0.06 + 1e-3) * min(1.0, (1 - progress) / 0.94)
        for group, value in zip(optimizer.param_groups, peak):
            group["lr"] = value * factor
        ids, mask, ranges = make_batch(batch, content, special)
        masked, chosen = mask_words(ids, mask, with_mask, model.words.num_embeddings, rng)
        with torch.autocast("cpu", torch.bfloat16):
            logits, words = model(torch.from_numpy(masked), torch.from_numpy(mask), torch.from_numpy(chosen))
        tagging = tagging_loss(heads, columns, batch, ranges, logits)
        guess = F.cross_entropy(words.float(), torch.from_numpy(ids[chosen]))
        (tagging + MASKED_WEIGHT * guess).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seen += ids.size
        recent.append((tagging.item(), guess.item()))
        if step % 20 == 19:
            mean = np.mean(recent, axis=0).round(4).tolist()
            recent.clear()
            print(json.dumps({"step": step + 1, "of": total, "tagging": mean[0], "masked": mean[1],
                              "minutes": round((time.time() - began) / 60, 1),
                              "tokens_per_s": round(seen / (time.time() - began))}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--base")
    parser.add_argument("--frequent", type=int, default=3000, help="frequent pieces that stay")
    parser.add_argument("--least", type=int, default=2, help="and those used so often in the texts")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=1e9, help="end the schedule by then")
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--head-lr", type=float, default=1.5e-3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=5)
    args = parser.parse_args()
    args.init, args.layers, args.forget = None, None, False
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    sets = read_sets(args.data)
    names = " ".join((*headers.FIRST, *headers.LAST, *headers.TOWNS, *headers.STREETS))
    # Twice, so that names count as used.
    start = Start(args, [names, names, *(r.text for records in sets.values() for r in records)])
    kept = recipes.trained_heads(recipes.load(RECIPE), args.data)
    heads = (*kept, *EXTRA)
    model = Pretrainer(start.config, heads)
    load(model, start.state)
    nn.init.normal_(model.head.weight, std=0.02)
    model.dropout, rng = 0.1, np.random.default_rng(args.seed)
    epochs = [epoch_batches(encode(epoch_records(sets, e), start.tokenizer, heads),
                            args.tokens - 2, 4096, 128, rng) for e in range(args.epochs)]
    train(model, heads, epochs, start.tokenizer, args)
    state = {k: v for k, v in model.state_dict().items() if not k.startswith("masked")}
    for name in ("head.weight", "head.bias"):
        state[name] = state[name][: columns_of(kept, "entities")].clone()
    start.save(out, RECIPE, kept, state)


if __name__ == "__main__":
    main()
