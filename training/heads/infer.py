"""Scores a text with the ONNX model: token logits of the owning window, class logits by window."""

import json
from pathlib import Path

import numpy as np

from heads.data import Encoded, open_tokenizer
from infer import Scorer, owners, window_starts


class HeadsScorer(Scorer):
    def __init__(self, model_path, window, threads=1):
        special = tuple(window[name] for name in ("cls", "sep", "pad"))
        super().__init__(model_path, window["tokens_max"], window["stride"], threads, special)
        self.outputs = [output.name for output in self.session.get_outputs()]

    def document(self, ids):
        """(logits by token or None, class logits by window, tokens each window owns)."""
        if len(ids) == 0:
            return (np.zeros((0, 0)) if "logits" in self.outputs else None), [], []
        starts = window_starts(len(ids), self.content, self.stride)
        tokens, classes, runs = [], [], []
        for first, last, k in owners(len(ids), self.content, self.stride):
            part = ids[starts[k] : starts[k] + self.content]
            result = dict(zip(self.outputs, self.run(part, self.outputs)))
            if "logits" in result:
                tokens.append(result["logits"][0, 1 : len(part) + 1][first - starts[k] : last - starts[k]])
            if "classes" in result:
                classes.append(result["classes"][0])
            runs.append((first, last))
        return (np.concatenate(tokens) if tokens else None), classes, runs


class Split:
    """The records of a split with the model's answers, ready to be decoded many times."""

    def __init__(self, folder, window, records, heads, model="model.onnx", threads=1):
        folder = Path(folder)
        content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        tokenizer, _ = open_tokenizer(content)
        scorer = HeadsScorer(folder / model, window, threads)
        self.documents = [Encoded(record, tokenizer, heads) for record in records]
        self.answers = [scorer.document(document.ids) for document in self.documents]
