"""Scores a text with the ONNX model: token logits of the owning window, class logits by window."""

import json
from pathlib import Path

import numpy as np

from heads.data import Encoded, open_tokenizer
from infer import Scorer
from windows import over


class HeadsScorer(Scorer):
    def __init__(self, model_path, window, threads=1):
        special = tuple(window[name] for name in ("cls", "sep", "pad"))
        super().__init__(model_path, window["tokens_max"], window["stride"], threads, special)
        self.outputs = [output.name for output in self.session.get_outputs()]
        self.by_sentences = window.get("cut") == "sentences"

    def document(self, document):
        """(logits by token or None, class logits by window, tokens each window owns)."""
        ids, ends = document.ids, document.sentence_ends if self.by_sentences else ()
        if len(ids) == 0:
            return (np.zeros((0, 0)) if "logits" in self.outputs else None), [], []
        tokens, classes, runs = [], [], []
        for start, end, first, last in over(len(ids), self.content, self.stride, ends):
            result = dict(zip(self.outputs, self.run(ids[start:end], self.outputs)))
            if "logits" in result:
                tokens.append(result["logits"][0, 1 + first - start : 1 + last - start])
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
        self.answers = [scorer.document(document) for document in self.documents]
