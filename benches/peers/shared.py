"""What both peers share: arguments, messages to documents, tokens to windows, the record.

Neither peer's way of working is in here: each reads PDFs, runs the model and talks to Kafka in its own manner.
"""

import argparse
import io
import json
import pathlib
import sys
from dataclasses import dataclass, field

import fastavro
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "training"))
from sentences import token_ranges  # noqa: E402
from windows import over  # noqa: E402

SCHEMA = fastavro.parse_schema({
    "type": "record", "name": "Extraction", "namespace": "peers",
    "fields": [
        {"name": "id", "type": "string"},
        # Kind of the fault that kept a document from being read.
        {"name": "error", "type": ["null", "string"], "default": None},
        {"name": "spans", "type": {"type": "array", "items": {
            "type": "record", "name": "Span",
            "fields": [
                {"name": "label", "type": "string"},
                {"name": "text", "type": "string"},
                {"name": "start", "type": "int"},
                {"name": "end", "type": "int"},
                {"name": "confidence", "type": "float"},
            ]}}},
    ],
})


def arguments(description):
    parser = argparse.ArgumentParser(description=description)
    for name in ("brokers", "group", "input", "output"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--bundle", required=True, type=pathlib.Path, help="folder of a model")
    parser.add_argument("--count", required=True, type=int, help="messages to end after")
    parser.add_argument("--lines", action="store_true", help="each line that is not empty is a document")
    return parser


@dataclass
class Document:
    id: str
    text: str
    error: str | None = None
    # Filled by `windows`: places of tokens in the text, first tokens of words, and windows.
    starts: np.ndarray = None
    ends: np.ndarray = None
    words: np.ndarray = None
    windows: list = field(default_factory=list)


@dataclass
class Window:
    ids: list
    # Its tokens that it scores, counted in the window, and how many of them; all others stand more central in a neighbour.
    skip: int
    keep: int


def documents(message, lines, read_pdf):
    """The documents of a message and its pages of PDF. `read_pdf`: bytes -> (text, pages)."""
    name = f"{message.topic()}-{message.partition()}-{message.offset()}"
    kind = dict(message.headers() or []).get("content-type", b"").split(b";")[0].strip().lower()
    value, pages = message.value() or b"", 0
    if kind == b"application/pdf":
        try:
            text, pages = read_pdf(value)
        # Whatever a reader of PDF throws, one document must not end the service.
        except Exception as fault:
            return [Document(name, "", type(fault).__name__)], 0
    else:
        text = value.decode("utf-8", errors="replace")
    if not lines:
        return [Document(name, text)], pages
    rows = [line for line in text.replace("\r\n", "\n").split("\n") if line.strip()]
    return [Document(f"{name}-{at}", row) for at, row in enumerate(rows)], pages


def rows(batch, tokenizer, settings, by_sentences):
    """All windows of these documents, in order. They end with sentences if asked, which no tokenizer does by itself."""
    encodings = tokenizer.encode_batch([document.text for document in batch], add_special_tokens=False)
    for document, encoding in zip(batch, encodings):
        windows(document, encoding, settings, by_sentences)
    return [window for document in batch for window in document.windows]


def windows(document, encoding, settings, by_sentences):
    """Sets the document's tokens, words and windows, as training/DECODER.md cuts them."""
    ids, n = encoding.ids, len(encoding.ids)
    places = np.asarray(encoding.offsets, np.int64).reshape(n, 2)
    document.starts, document.ends = places[:, 0], places[:, 1]
    words = np.asarray(encoding.word_ids, np.int64)
    document.words = np.flatnonzero(np.diff(words, prepend=-1))
    ends = [last for _, last in token_ranges(document.text, document.starts)] if by_sentences else []
    for start, end, first, last in over(n, settings["tokens_max"] - 2, settings["stride"], ends):
        row = [settings["cls"], *ids[start:end], settings["sep"]]
        document.windows.append(Window(row, 1 + first - start, last - first))


def padded(rows, pad):
    """Inputs of the model for these windows, padded to the longest."""
    longest = max(len(row.ids) for row in rows)
    ids = np.full((len(rows), longest), pad, np.int64)
    mask = np.zeros((len(rows), longest), np.int64)
    for at, row in enumerate(rows):
        ids[at, : len(row.ids)] = row.ids
        mask[at, : len(row.ids)] = 1
    return {"input_ids": ids, "attention_mask": mask}


def record(document, spans):
    out = io.BytesIO()
    found = [
        {"label": label, "text": document.text[start:end], "start": start, "end": end, "confidence": confidence}
        for label, start, end, confidence in spans
    ]
    fastavro.schemaless_writer(out, SCHEMA, {"id": document.id, "error": document.error, "spans": found})
    return out.getvalue()


def load_bundle(folder):
    return json.loads((folder / "bundle.json").read_text())
