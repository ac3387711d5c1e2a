"""Writes the ONNX model, float32 and int8, and the tokenizer, from a checkpoint of heads.train."""

import argparse
import json
from pathlib import Path

import onnx
import torch
from onnx import TensorProto

from export import Graph, dense, encode, finish, quantise
from heads import recipes
from heads.data import ids_of, open_tokenizer, special_ids
from heads.loud import loud_channels
from infer import PAD_TO
from model import find_base


def pool(g, x):
    """Mean of the states over the positions that are no padding."""
    mask = g.add("Cast", ["attention_mask"], "mask_float", to=TensorProto.FLOAT)
    axis = g.weight("last_axis", torch.tensor([-1]).numpy())
    column = g.add("Unsqueeze", [mask, axis], "mask_column")
    tokens = g.weight("token_axis", torch.tensor([1]).numpy())
    total = g.add("ReduceSum", [g.add("Mul", [x, column], "masked"), tokens], "sum", keepdims=0)
    count = g.add("ReduceSum", [column, tokens], "count", keepdims=0)
    return g.add("Div", [total, count], "mean")


def build(state, config, tokens_max, loud=None):
    g = Graph()
    state = {name: tensor.float().numpy() for name, tensor in state.items()}
    x = encode(g, state, config, tokens_max, loud)
    outputs = {}
    for name, source, output in (("head", lambda: x, "logits"), ("classes", lambda: pool(g, x), "classes")):
        if f"{name}.bias" in state:
            dense(g, state, source(), name, output=output)
            width = len(state[f"{name}.bias"])
            outputs[output] = ["batch", "tokens", width] if output == "logits" else ["batch", width]
    return finish(g, outputs)


def mean_state(paths):
    """Mean of the weights of several checkpoints of one shape."""
    states = [torch.load(path, map_location="cpu", weights_only=True) for path in paths]
    return {name: sum(state[name].float() for state in states) / len(states) for name in states[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", required=True, nargs="+", help="several: their mean")
    parser.add_argument("--out", required=True)
    parser.add_argument("--base")
    parser.add_argument("--columns", type=int, help="token columns kept: those of the shipped heads")
    parser.add_argument("--tokens", type=int, default=128, help="window size")
    parser.add_argument("--stride", type=int, default=96)
    parser.add_argument("--cut", choices=("stride", "sentences"), default="stride")
    parser.add_argument("--loud", type=int, default=0, help="channels kept apart in each product of a feed-forward layer")
    parser.add_argument("--recipe", help="for --loud: whose training texts are looked at")
    parser.add_argument("--data", help="for --loud: folder of the data sets")
    parser.add_argument("--every", type=int, default=10, help="for --loud: one text in so many")
    args = parser.parse_args()
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    config = json.loads((find_base(args.base) / "config.json").read_text())
    state = mean_state(args.checkpoint)
    for name in ("head.weight", "head.bias"):
        if args.columns and name in state:
            state[name] = state[name][: args.columns]
    text = (Path(args.checkpoint[0]).parent / "tokenizer.json").read_text(encoding="utf-8")
    tokenizer, _ = open_tokenizer(json.loads(text))
    loud = None
    if args.loud:
        texts = [record.text for record in recipes.load(args.recipe).read(args.data, "train")]
        plain = build(state, config, args.tokens)
        loud = loud_channels(plain, [ids_of(tokenizer, t, args.tokens) for t in texts[:: args.every]], args.loud)
    onnx.save(build(state, config, args.tokens, loud), str(out / "model.fp32.onnx"))
    quantise(out / "model.fp32.onnx", out / "model.onnx", ["head.product"])
    (out / "tokenizer.json").write_text(text, encoding="utf-8")
    cls, sep, pad = special_ids(tokenizer)
    window = {"tokens_max": args.tokens, "stride": args.stride, "cut": args.cut,
              "pad_to": PAD_TO, "cls": cls, "sep": sep, "pad": pad}
    (out / "window.json").write_text(json.dumps(window) + "\n")


if __name__ == "__main__":
    main()
