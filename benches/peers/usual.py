"""The usual Python service: one process that polls, reads, tokenizes, infers in batches of 32, produces, flushes and commits.

pypdf, tokenizers, onnxruntime with its default session, fastavro, confluent-kafka with its defaults. At least once.
"""

import io
import json
import logging
import signal
import sys

import numpy as np
import onnxruntime
import pypdf
import tokenizers
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

import decoding
import shared

POLL = 32
BATCH = 32


def read_pdf(value):
    pages = pypdf.PdfReader(io.BytesIO(value)).pages
    return "\n".join(page.extract_text() for page in pages), len(pages)


class Model:
    def __init__(self, folder):
        self.bundle = shared.load_bundle(folder)
        self.tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
        self.decoder = decoding.Decoder(self.bundle)
        self.tokens = 0

    def extract(self, batch):
        """The spans of each document."""
        rows = shared.rows(batch, self.tokenizer, self.bundle["window"], by_sentences=False)
        if not rows:
            return [[] for _ in batch]
        self.tokens += sum(len(row.ids) for row in rows)
        parts = {name: [] for name in self.decoder.outputs}
        for first in range(0, len(rows), BATCH):
            some = rows[first : first + BATCH]
            inputs = shared.padded(some, self.bundle["window"]["pad"])
            outputs = dict(zip(parts, self.session.run(list(parts), inputs)))
            for at, row in enumerate(some):
                if "logits" in parts:
                    parts["logits"].append(outputs["logits"][at, row.skip : row.skip + row.keep])
                if "classes" in parts:
                    parts["classes"].append(outputs["classes"][at : at + 1])
        return self.decoder.spans(batch, {name: np.concatenate(part) for name, part in parts.items()})


def delivered(error, _):
    if error:
        raise KafkaException(error)


def main():
    options = shared.arguments(__doc__.splitlines()[0]).parse_args()
    # A polite end between polls: what is not committed comes again.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)

    model = Model(options.bundle)
    model.extract([shared.Document("warm", "One sentence to warm the model.")])
    model.tokens = 0
    producer = Producer({"bootstrap.servers": options.brokers})
    consumer = Consumer({
        "bootstrap.servers": options.brokers,
        "group.id": options.group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        # 32 long contracts may take longer than the default of 5 minutes, after which the group goes on without it.
        "max.poll.interval.ms": 3_600_000,
    })
    ready = []

    def assigned(*_):
        if not ready:
            print("ready", flush=True)
        ready.append(True)

    consumer.subscribe([options.input], on_assign=assigned)

    messages = pages = 0
    while messages < options.count:
        polled = consumer.consume(num_messages=min(POLL, options.count - messages), timeout=1.0)
        batch = []
        for message in polled:
            if message.error():
                if message.error().code() == KafkaError._PARTITION_EOF:
                    continue
                raise KafkaException(message.error())
            found, read = shared.documents(message, options.lines, read_pdf)
            batch += found
            messages, pages = messages + 1, pages + read
        if not polled:
            continue
        for document, spans in zip(batch, model.extract(batch)):
            producer.produce(options.output, shared.record(document, spans), on_delivery=delivered)
        producer.flush()
        consumer.commit(asynchronous=False)
    consumer.close()
    print(json.dumps({"messages": messages, "tokens": model.tokens, "pages": pages}), flush=True)


if __name__ == "__main__":
    main()
