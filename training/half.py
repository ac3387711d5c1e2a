"""Makes bundles for a card from a bundle with an int8 model, or from a float32 export.

Products of int8 have no kernels for CUDA, nor has DynamicQuantizeLinear, so the int8 model of a
bundle cannot run there as a whole. This writes its weights out again: as float32, and as float16 with float16 activations.
What int8 rounded off when it was made stays off; the activations are no longer rounded to int8.

    python half.py ../models/contracts OUT            # OUT/contracts-fp32 and OUT/contracts-fp16
    python half.py ../models/contracts OUT --model WORK/model.fp32.onnx

float16 ends before the heads: the last states are cast to float32, so that products of the heads
and all logits are float32. Layer norms take their sums in float32 inside their kernels. Inputs
stay int64.
"""

import argparse
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FUSED = "com.microsoft"
# What makes int8 activations: with ranges of the call, and with fixed ones (`ranges.py`).
QUANTISERS = ("DynamicQuantizeLinear", "QuantizeLinear")
# Files that go along as they are.
KEPT = ("tokenizer.json", "gate.bin", "NOTICE")


class Model:
    """A graph in the making: nodes in order, weights by name."""

    def __init__(self, path):
        self.model = onnx.load(str(path))
        self.nodes = list(self.model.graph.node)
        self.weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in self.model.graph.initializer}

    def maker(self, value):
        """The node that makes `value`, if one does."""
        return next((node for node in self.nodes if value in node.output), None)

    def replace(self, old, new):
        """Puts `new` where the last of the nodes `old` stands."""
        at = max(self.nodes.index(node) for node in old)
        self.nodes[at + 1 : at + 1] = new
        gone = {id(node) for node in old}
        self.nodes = [node for node in self.nodes if id(node) not in gone]

    def save(self, path):
        used = {value for node in self.nodes for value in node.input}
        graph = helper.make_graph(
            self.nodes, self.model.graph.name, self.model.graph.input, self.model.graph.output,
            [numpy_helper.from_array(np.ascontiguousarray(array), name)
             for name, array in self.weights.items() if name in used])
        model = helper.make_model(graph, opset_imports=self.model.opset_import,
                                  ir_version=self.model.ir_version, producer_name="sluice-training")
        onnx.checker.check_model(helper.make_model(
            graph, opset_imports=model.opset_import, ir_version=model.ir_version), full_check=False)
        onnx.save(model, str(path))


def written_out(model, name):
    """The float32 weight behind `name`_quantized, scaled by column."""
    quantised = model.weights[f"{name}_quantized"].astype(np.float32)
    zero, scale = model.weights[f"{name}_zero_point"], model.weights[f"{name}_scale"]
    return (quantised - zero.astype(np.float32)) * scale


def float_words(model):
    """One table of word vectors in the place of int8 rows and their scales."""
    if "word_scales" not in model.weights:
        return
    table = model.weights.pop("words").astype(np.float32) * model.weights.pop("word_scales")
    model.weights["words"] = table
    old = [model.maker(value) for value in ("row_scales", "word_rows", "word_rows_float", "word_vectors")]
    model.replace(old, [helper.make_node("Gather", ["words", "input_ids"], ["word_vectors"],
                                         name="word_vectors", axis=0)])


def float_products(model):
    """MatMul and Attention in the place of their int8 forms."""
    source = {node.output[0]: node.input[0] for node in model.nodes if node.op_type in QUANTISERS}
    products = ("MatMulInteger", "MatMulIntegerToFloat", "QAttention")
    for node in [node for node in model.nodes if node.op_type in products]:
        name = node.input[1].removesuffix("_quantized")
        model.weights[name] = written_out(model, name)
        if node.op_type == "QAttention":
            heads = {a.name: helper.get_attribute_value(a) for a in node.attribute}["num_heads"]
            new = helper.make_node("Attention", [source[node.input[0]], name, node.input[2], node.input[5]],
                                   list(node.output), name=node.output[0], domain=FUSED, num_heads=heads)
            model.replace([node], [new])
            continue
        if node.op_type == "MatMulIntegerToFloat":
            product, bias = f"{node.output[0]}_without_bias", node.input[6]
            model.replace([node], [
                helper.make_node("MatMul", [source[node.input[0]], name], [product], name=product),
                helper.make_node("Add", [product, bias], list(node.output), name=node.output[0])])
            continue
        cast = next(other for other in model.nodes if node.output[0] in other.input)
        scaled = next(other for other in model.nodes if cast.output[0] in other.input)
        scales = model.maker(next(value for value in scaled.input if value != cast.output[0]))
        new = helper.make_node("MatMul", [source[node.input[0]], name], list(scaled.output), name=scaled.output[0])
        model.replace([node, cast, scaled, scales], [new])
    model.nodes = [node for node in model.nodes if node.op_type not in QUANTISERS]


def float_loud(model):
    """One product in the place of that of the loud channels and that of the others, see
    `heads/loud.py`: what parted them is int8."""
    for name in [key.removesuffix(".loud_weight") for key in model.weights if key.endswith(".loud_weight")]:
        loud = model.weights.pop(f"{name}.loud")
        weight = model.weights[f"{name}.weight"].copy()
        weight[loud] = model.weights.pop(f"{name}.loud_weight")
        model.weights[f"{name}.weight"] = weight
        channels, quiet = model.maker(f"{name}.loud_x"), model.maker(f"{name}.quiet_sum")
        # With fixed ranges nothing takes the loud channels out before the product.
        parts = (channels, quiet, model.maker(quiet.input[0]), *(
            model.maker(f"{name}.{part}") for part in ("quiet_x", "loud_product", "sum")))
        product = f"{name}.product"
        model.replace([node for node in parts if node is not None], [
            helper.make_node("MatMul", [channels.input[0], f"{name}.weight"], [product], name=product),
            helper.make_node("Add", [product, f"{name}.bias"], [f"{name}.sum"], name=f"{name}.sum")])


def halve(model):
    """float16 from the word vectors to the last layer norm; the heads after it in float32."""
    last = [node for node in model.nodes if node.op_type == "LayerNormalization"][-1]
    end = model.nodes.index(last)
    encoder, heads = model.nodes[: end + 1], model.nodes[end + 1 :]
    of_heads = {value for node in heads for value in node.input}
    for name in {value for node in encoder for value in node.input} & set(model.weights):
        if model.weights[name].dtype == np.float32:
            assert name not in of_heads, name
            assert np.abs(model.weights[name]).max() < 60_000, name
            model.weights[name] = model.weights[name].astype(np.float16)
    states, wide = last.output[0], "last_states"
    for node in heads:
        for at, value in enumerate(node.input):
            if value == states:
                node.input[at] = wide
    cast = helper.make_node("Cast", [states], [wide], name=wide, to=TensorProto.FLOAT)
    model.nodes = [*encoder, cast, *heads]


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write(model, bundle, out, kind):
    """The bundle folder of `model` in `out`."""
    folder = out / f"{bundle.name}-{kind}"
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / "model.onnx")
    for name in KEPT:
        if (bundle / name).exists():
            shutil.copy(bundle / name, folder / name)
    manifest = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    manifest["revision"] = f"{manifest['revision']}-{kind}"
    # They were measured on the int8 model.
    manifest.pop("metrics", None)
    manifest["files"] = {name: digest(folder / name) for name in manifest["files"]}
    text = json.dumps(manifest, ensure_ascii=False, indent=1)
    (folder / "bundle.json").write_text(text + "\n", encoding="utf-8")
    print(f"{folder}: {(folder / 'model.onnx').stat().st_size / 1e6:.1f} MB")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, help="folder of a bundle")
    parser.add_argument("out", type=Path, help="folder for the new ones")
    parser.add_argument("--model", type=Path, help="float32 model to take the weights from; the bundle's own unless given")
    args = parser.parse_args()
    bundle = args.bundle.resolve()
    for kind in ("fp32", "fp16"):
        model = Model(args.model or bundle / "model.onnx")
        float_words(model)
        float_products(model)
        float_loud(model)
        if kind == "fp16":
            halve(model)
        write(model, bundle, args.out, kind)


if __name__ == "__main__":
    main()
