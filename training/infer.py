"""Scores a document with the ONNX model, window by window."""

import hashlib
from pathlib import Path

import numpy as np
import onnxruntime

from data import CLS, PAD, SEP
from windows import over

# Rows are not padded: on a CPU padding costs what tokens cost.
PAD_TO = 1


class Scorer:
    def __init__(self, model_path, tokens_max, stride, threads=1, special=(CLS, SEP, PAD)):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # As the worker, which tells why.
        options.add_session_config_entry("optimization.disable_specified_optimizers", "SkipLayerNormFusion")
        self.session = onnxruntime.InferenceSession(
            str(model_path), options, providers=["CPUExecutionProvider"])
        self.content, self.stride, self.special = tokens_max - 2, stride, special

    def run(self, ids, outputs):
        """The model's outputs for one window. One row a call, since the int8 model scales its
        activations by call."""
        length = len(ids) + 2
        padded = -(-length // PAD_TO) * PAD_TO
        cls, sep, pad = self.special
        row = np.full((1, padded), pad, np.int64)
        row[0, 0], row[0, 1 : length - 1], row[0, length - 1] = cls, ids, sep
        mask = np.zeros((1, padded), np.int64)
        mask[0, :length] = 1
        return self.session.run(outputs, {"input_ids": row, "attention_mask": mask})

    def window(self, ids):
        """Logits of the tokens of one window."""
        return self.run(ids, ["logits"])[0][0, 1 : len(ids) + 1]

    def document(self, ids, places=None, unread=0.0):
        """float32 logits, one row a document token. `places` are those that a gate leaves (see
        gate.py); tokens outside of them have the logit `unread`."""
        if len(ids) == 0:
            return np.zeros((0, 0), np.float32)
        logits = None
        if places is None:
            places = over(len(ids), self.content, self.stride)
        for start, end, first, last in places:
            window = self.window(ids[start:end])
            if logits is None:
                logits = np.full((len(ids), window.shape[1]), unread, np.float32)
            logits[first:last] = window[first - start : last - start]
        return logits


def cached_logits(scorer, documents, model_path):
    """Logits of every document, all of it read, kept under .cache beside the model for the next step."""
    folder = Path(model_path).parent / ".cache"
    key = hashlib.sha256(Path(model_path).read_bytes())
    key.update(f"{scorer.content} {scorer.stride} {PAD_TO} {[d.id for d in documents]}".encode())
    path = folder / f"{key.hexdigest()[:16]}.npz"
    if path.exists():
        stored = np.load(path)
        return [stored[str(i)] for i in range(len(documents))]
    logits = [scorer.document(document.ids) for document in documents]
    folder.mkdir(exist_ok=True)
    np.savez(path, **{str(i): value for i, value in enumerate(logits)})
    return logits
