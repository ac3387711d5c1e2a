"""Writes the ONNX model: float32 or int8, from a training checkpoint.

The graph is laid out by hand, so no exporter is involved. Attention and GELU are ONNX Runtime's
own operators. A product's bias stands right behind it, where ONNX Runtime takes both as one; sum
and layer norm stay apart, since its kernel for both at once is the slower one on a processor.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from model import find_base

FUSED = "com.microsoft"
LOUD = "loud_product"
# The contracts were annotated in plain text; PDFs have what was printed.
TYPESET = {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-",
           "\u2014": "-"}


class Graph:
    def __init__(self):
        self.nodes, self.weights = [], []

    def weight(self, name, array):
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def add(self, op, inputs, output, domain="", **attributes):
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, domain=domain, **attributes))
        return output


def embed(g, state, tokens_max, eps):
    """Word vectors as int8 with one scale a row (a shared scale costs accuracy), plus positions.
    The only token type is folded into the positions."""
    words = state["words.weight"]
    scale = np.maximum(np.abs(words).max(1, keepdims=True), 1e-8) / 127
    quantised = np.clip(np.rint(words / scale), -127, 127).astype(np.int8)
    rows = g.add("Gather", [g.weight("words", quantised), "input_ids"], "word_rows", axis=0)
    rows = g.add("Cast", [rows], "word_rows_float", to=TensorProto.FLOAT)
    scales = g.add("Gather", [g.weight("word_scales", scale.astype(np.float32)), "input_ids"],
                   "row_scales", axis=0)
    x = g.add("Mul", [rows, scales], "word_vectors")
    positions = (state["positions.weight"] + state["types.weight"][0])[:tokens_max]
    shape = g.add("Shape", ["input_ids"], "length", start=1, end=2)
    zero = g.weight("zero", np.zeros(1, np.int64))
    positions = g.add("Slice", [g.weight("positions", positions), zero, shape, zero], "used_positions")
    x = g.add("Add", [x, positions], "embedded")
    return g.add("LayerNormalization",
                 [x, g.weight("norm.weight", state["norm.weight"]), g.weight("norm.bias", state["norm.bias"])],
                 "embedding_norm", axis=-1, epsilon=eps)


def dense(g, state, x, name, loud=None, output=None):
    """The product plus its bias; with `loud`, those channels of `x` apart from the others, see
    `loud.py`."""
    weight = np.ascontiguousarray(state[f"{name}.weight"].T)
    bias, output = g.weight(f"{name}.bias", state[f"{name}.bias"]), output or f"{name}.sum"
    if loud is None:
        product = g.add("MatMul", [x, g.weight(f"{name}.weight", weight)], f"{name}.product")
        return g.add("Add", [product, bias], output)
    quiet = np.ones(len(weight), np.float32)
    quiet[loud] = 0.0
    few = g.add("Gather", [x, g.weight(f"{name}.loud", np.array(loud, np.int64))], f"{name}.loud_x", axis=2)
    few = g.add("MatMul", [few, g.weight(f"{name}.loud_weight", weight[loud])], f"{name}.{LOUD}")
    rest = g.add("Mul", [x, g.weight(f"{name}.quiet", quiet)], f"{name}.quiet_x")
    rest = g.add("MatMul", [rest, g.weight(f"{name}.weight", weight)], f"{name}.quiet_product")
    rest = g.add("Add", [rest, bias], f"{name}.quiet_sum")
    return g.add("Add", [rest, few], output)


def encode(g, state, config, tokens_max, loud=None):
    """The nodes of the encoder; as many layers as `state` has. loud: {name of a product: channels}."""
    loud = loud or {}
    eps = config["layer_norm_eps"]
    x = embed(g, state, tokens_max, eps)
    mask = g.add("Cast", ["attention_mask"], "mask", to=TensorProto.INT32)

    def normed(x, y, name):
        both = g.add("Add", [x, y], f"{name}.both")
        scale, bias = (g.weight(f"{name}.{part}", state[f"{name}.{part}"]) for part in ("weight", "bias"))
        return g.add("LayerNormalization", [both, scale, bias], name, axis=-1, epsilon=eps)

    for i in range(sum(name.endswith(".qkv.bias") for name in state)):
        p = f"layers.{i}."
        context = g.add("Attention",
                        [x, g.weight(f"{p}qkv.weight", state[f"{p}qkv.weight"].T),
                         g.weight(f"{p}qkv.bias", state[f"{p}qkv.bias"]), mask],
                        f"{p}attention", FUSED, num_heads=config["num_attention_heads"])
        x = normed(dense(g, state, context, f"{p}attention_out"), x, f"{p}attention_norm")
        y = g.add("Gelu", [dense(g, state, x, f"{p}inner", loud.get(f"{p}inner"))], f"{p}gelu", FUSED)
        x = normed(dense(g, state, y, f"{p}outer", loud.get(f"{p}outer")), x, f"{p}outer_norm")
    return x


def finish(g, outputs):
    """The ONNX model; outputs: {name: shape}."""
    ids = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
           for name in ("input_ids", "attention_mask")]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
               for name, shape in outputs.items()]
    graph = helper.make_graph(g.nodes, "encoder", ids, outputs, g.weights)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(FUSED, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="sluice-training")


def build(state, config, n_labels, tokens_max):
    g = Graph()
    state = {name: tensor.float().numpy() for name, tensor in state.items()}
    x = encode(g, state, config, tokens_max)
    dense(g, state, x, "head", output="logits")
    return finish(g, {"logits": ["batch", "tokens", n_labels]})


def quantise(source, target, keep):
    """int8 weights by column, activations by call; the products in `keep` stay float32.
    Seven bits of weight: with eight, sums of pairs can overflow 16 bits on CPUs without VNNI."""
    loud = [node.name for node in onnx.load(str(source)).graph.node if node.name.endswith(f".{LOUD}")]
    quantize_dynamic(str(source), str(target),
                     op_types_to_quantize=["MatMul", "Attention"], weight_type=QuantType.QInt8,
                     per_channel=True, reduce_range=True, nodes_to_exclude=keep + loud,
                     extra_options={"DefaultTensorType": TensorProto.FLOAT})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--out", required=True, help="folder for model.fp32.onnx and model.onnx")
    parser.add_argument("--base")
    parser.add_argument("--tokens", type=int, default=256)
    args = parser.parse_args()
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    base = find_base(args.base)
    config = json.loads((base / "config.json").read_text())
    state = torch.load(args.checkpoint, map_location="cpu", weights_only=True)
    model = build(state, config, state["head.bias"].shape[0], args.tokens)
    onnx.save(model, str(out / "model.fp32.onnx"))
    quantise(out / "model.fp32.onnx", out / "model.onnx", ["head.product"])
    tokenizer = json.loads((base / "tokenizer.json").read_text())
    tokenizer["truncation"] = tokenizer["padding"] = None
    tokenizer["normalizer"] = {"type": "Sequence", "normalizers": [
        *({"type": "Replace", "pattern": {"String": typeset}, "content": plain}
          for typeset, plain in TYPESET.items()), tokenizer["normalizer"]]}
    text = json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":"))
    (out / "tokenizer.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
