"""The encoder with one linear layer for the token heads and one for the classes heads."""

import re

import torch
from torch import nn

from model import Trunk


def columns_of(heads, kind):
    return sum(head.columns for head in heads if head.kind == kind)


class HeadsModel(Trunk):
    """`head`: columns of the entities heads, `classes`: of the classes heads, in head order."""

    def __init__(self, config, heads):
        super().__init__(config)
        hidden = config["hidden_size"]
        tokens, classes = columns_of(heads, "entities"), columns_of(heads, "classes")
        self.head = nn.Linear(hidden, tokens) if tokens else None
        self.classes = nn.Linear(hidden, classes) if classes else None

    def forward(self, ids, mask):
        """(token logits or None, class logits or None). The mean of the states stands for the text."""
        x = self.encode(ids, None if mask.all() else mask)
        tokens = self.head(x) if self.head is not None else None
        if self.classes is None:
            return tokens, None
        share = mask[..., None].to(x.dtype)
        return tokens, self.classes((x * share).sum(1) / share.sum(1))


def select(state, rows, layers):
    """The weights of these rows of the word vectors and these layers, renumbered."""
    out = {}
    for name, tensor in state.items():
        match = re.match(r"layers\.(\d+)\.(.*)", name)
        if match and int(match[1]) in layers:
            out[f"layers.{layers.index(int(match[1]))}.{match[2]}"] = tensor
        elif not match:
            out[name] = tensor
    out["words.weight"] = out["words.weight"][torch.as_tensor(rows)]
    return out


def load(model, state):
    """Loads what fits in name and shape; the rest (new heads) stays as it was."""
    mine = model.state_dict()
    fits = {k: v for k, v in state.items() if k in mine and mine[k].shape == v.shape}
    model.load_state_dict(fits, strict=False)
    return sorted(set(mine) - set(fits))
