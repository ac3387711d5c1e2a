"""Fixes the ranges of int8 activations of a bundle's model to those that training texts show.

`quantise` of `export.py` leaves them to be taken over each call, so that rows of one call change
each other and each has to go alone. With fixed ones a row scores the same in any company, and the
model is a third of the nodes shorter. Writes model.onnx anew, and `window.independent_rows`
wherever the bundle has a window.

    python ranges.py --recipe incident-logs --data DATA --bundle WORK/export [--every 1]
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from heads import recipes
from heads.data import ids_of, open_tokenizer

FUSED = "com.microsoft"
STEPS = 255


def dynamic(graph):
    return [node for node in graph.node if node.op_type == "DynamicQuantizeLinear"]


def observed(model, windows):
    """{activation: (smallest, largest value)} over `windows` (ids), of all that are quantised."""
    names = [node.input[0] for node in dynamic(model.graph)]
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    probe.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    session = onnxruntime.InferenceSession(probe.SerializeToString(), providers=["CPUExecutionProvider"])
    lows, highs = np.zeros(len(names), np.float32), np.zeros(len(names), np.float32)
    for ids in windows:
        inputs = {"input_ids": np.array([ids]), "attention_mask": np.ones((1, len(ids)), np.int64)}
        values = session.run(names, inputs)
        lows = np.minimum(lows, [x.min() for x in values])
        highs = np.maximum(highs, [x.max() for x in values])
    return dict(zip(names, zip(lows, highs)))


class Rewriter:
    """The graph with nodes of fixed ranges in the place of those that look at the call."""

    def __init__(self, model, ranges):
        self.graph, self.ranges = model.graph, ranges
        self.weights = {tensor.name: tensor for tensor in self.graph.initializer}
        self.readers, self.gone, self.new = {}, set(), {}
        for node in self.graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)

    def reader(self, name):
        """The one node that reads `name`."""
        (node,) = self.readers[name]
        return node

    def constant(self, name, array):
        self.weights[name] = numpy_helper.from_array(array, name)

    def quantise(self, node):
        """One scale and zero point for all calls, as DynamicQuantizeLinear takes them of one."""
        low, high = self.ranges[node.input[0]]
        scale = np.float32((high - low) / STEPS)
        self.constant(node.output[1], np.array(scale, np.float32))
        self.constant(node.output[2], np.array(np.rint(-low / scale), np.uint8))
        self.new[id(node)] = helper.make_node(
            "QuantizeLinear", [node.input[0], *node.output[1:]], [node.output[0]], name=node.output[0])

    def product(self, node):
        """Integer product, cast, scales and bias as one node."""
        cast = self.reader(node.output[0])
        scaled = self.reader(cast.output[0])
        scales = next(self.maker(name) for name in scaled.input if name != cast.output[0])
        summed = self.reader(scaled.output[0])
        (bias,) = (name for name in summed.input if name != scaled.output[0])
        self.gone |= {id(cast), id(scaled), id(scales), id(summed)}
        a, b, a_zero, b_zero = node.input
        self.new[id(node)] = helper.make_node(
            "MatMulIntegerToFloat", [a, b, *scales.input, a_zero, b_zero, bias], [summed.output[0]],
            name=summed.output[0], domain=FUSED)

    def maker(self, name):
        return next(node for node in self.graph.node if name in node.output)

    def quiet(self, node):
        """Loud channels need not be taken out before: their int8 weights are nil, so whatever they
        are cut to counts nothing."""
        name = node.output[0].removesuffix("_x")
        source, mask = node.input
        loud = np.flatnonzero(numpy_helper.to_array(self.weights[mask]) == 0)
        weight = f"{name.removesuffix('.quiet')}.weight_quantized"
        array = numpy_helper.to_array(self.weights[weight]).copy()
        zero = numpy_helper.to_array(self.weights[weight.replace("quantized", "zero_point")])
        assert not zero.any(), weight
        array[loud] = 0
        self.constant(weight, array)
        self.gone.add(id(node))
        for reader in self.readers[node.output[0]]:
            self.ranges[source] = self.ranges.get(source, self.ranges[node.output[0]])
            reader.input[list(reader.input).index(node.output[0])] = source

    def run(self):
        for node in self.graph.node:
            if node.op_type == "Mul" and node.output[0].endswith(".quiet_x"):
                self.quiet(node)
        for node in self.graph.node:
            if node.op_type == "DynamicQuantizeLinear":
                self.quantise(node)
            elif node.op_type == "MatMulInteger":
                self.product(node)
        nodes = [self.new.get(id(node), node) for node in self.graph.node if id(node) not in self.gone]
        used = {name for node in nodes for name in node.input}
        weights = [tensor for name, tensor in self.weights.items() if name in used]
        del self.graph.node[:], self.graph.initializer[:]
        self.graph.node.extend(nodes)
        self.graph.initializer.extend(weights)


def fix(model, windows):
    """The model with ranges of all its activations over `windows` (ids)."""
    Rewriter(model, observed(model, windows)).run()
    left = [node.op_type for node in model.graph.node if node.op_type in ("DynamicQuantizeLinear", "MatMulInteger")]
    assert not left, left
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", required=True, help="whose training texts are looked at")
    parser.add_argument("--data", required=True, help="folder of the data sets")
    parser.add_argument("--bundle", required=True, type=Path)
    parser.add_argument("--every", type=int, default=1, help="one text in so many")
    args = parser.parse_args()
    tokenizer, _ = open_tokenizer(json.loads((args.bundle / "tokenizer.json").read_text(encoding="utf-8")))
    path = next(path for path in (args.bundle / "window.json", args.bundle / "bundle.json") if path.exists())
    content = json.loads(path.read_text(encoding="utf-8"))
    window = content.get("window", content)
    texts = [record.text for record in recipes.load(args.recipe).read(args.data, "train")]
    windows = [ids_of(tokenizer, text, window["tokens_max"]) for text in texts[:: args.every]]
    model = fix(onnx.load(str(args.bundle / "model.onnx")), windows)
    onnx.save(model, str(args.bundle / "model.onnx"))
    window["independent_rows"] = True
    path.write_text(json.dumps(content, indent=1 if "window" in content else None) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
