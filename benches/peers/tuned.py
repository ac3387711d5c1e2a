"""The tuned Python service: a process a core, each with a consumer of the same group and a single-threaded session.

PDFium, tokenizers over whole batches, windows of like length in one call, numpy over whole batches, a producer that lingers, and
commits once a second of what is acknowledged. At least once.

Measured on 2026-11-28 on two cores of a Xeon at 2.5 GHz with AVX-512 VNNI, shared with much other work, hence CPU time beside the
clock's:

- Tokens in a call (tokens a CPU second, one thread, medians of three). Work orders: 4,109 with a window a call, 7,085 with 256
  tokens, 6,634 with 512, 5,617 with 2,048, 3,632 with 8,192; in a second run nothing from 64 to 384 is better beyond the noise.
  Notes, windows of 256: 4,867 with a window a call, 4,876 with 256, which is the same, 4,921 with 512, 4,558 with 2,048, 4,298
  with 8,192. So 256: one long window, or many short ones.
- Messages of a poll, 3,755 work orders, medians of three: 14.4 s with 64, 13.1 s with 256, 12.6 s with 1,024 (7.7, 7.1 and 6.6 s
  of CPU). Ten contracts take 28 s of CPU with one at a time. So as many as make 8,192 tokens.
- A consumer in each worker, or one process that hands messages to workers through pipes. Work orders, medians of three: 13.1
  against 12.1 s with polls of 256, then with polls by tokens against 1,024: 10.6 against 7.0 s, and again 7.3 against 7.1 s. Ten
  contracts: 90.1 and 90.7 against 104.8 and 90.5 s, then 32.4 against 31.6 s. CPU time is the same within 5 %. The spread between
  equal runs is larger than most of these differences, but for work orders the router was never behind by the median. The group is
  taken because it is simpler and commits each partition by itself, not because it is faster; it wants partitions evenly filled.
- A worker a core, or one more, one run between two: 11.6 and 11.7 against 12.1 s (6.5 and 6.6 against 7.2 s of CPU).
- PDFium or pypdf: 0.31 against 1.54 s of CPU for 130 pages, medians of three.
- Sum and layer norm by two kernels of ONNX Runtime or by its one, which takes what it can by default (2026-11-29, an AMD EPYC,
  calls in turn, medians): 10,916 against 8,988 tokens a second in rows of 128 of `clinical-notes`. So two, as in the worker.
"""

import ctypes
import json
import multiprocessing
import os
import signal
import sys
import time
from collections import deque

# Before `tokenizers`: one process a core leaves nothing for threads of its own.
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import onnxruntime
import pypdfium2
import tokenizers
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

import decoding
import shared

WORKERS = len(os.sched_getaffinity(0))
# Messages of a poll, as many as make this number of tokens: many short lines, or one contract.
POLL_TOKENS, POLL_MAX = 8192, 1024
# Rows times their padded length in one call of the model: one long window, or many short ones.
BATCH_TOKENS = 256
COMMIT_INTERVAL_S = 1.0
IDLE_S = 0.05


def read_pdf(value):
    with pypdfium2.PdfDocument(value) as pdf:
        pages = []
        for page in pdf:
            text = page.get_textpage()
            pages.append(text.get_text_range())
            text.close()
            page.close()
    return "\n".join(pages).replace("\r\n", "\n"), len(pages)


class Model:
    def __init__(self, folder):
        self.bundle = shared.load_bundle(folder)
        self.tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("optimization.disable_specified_optimizers", "SkipLayerNormFusion")
        self.session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
        self.decoder = decoding.Decoder(self.bundle)

    def extract(self, batch):
        """The spans of each document, and how many tokens the model saw."""
        rows = shared.rows(batch, self.tokenizer, self.bundle["window"], self.bundle["window"].get("cut") == "sentences")
        if not rows:
            return [[] for _ in batch], 0
        return self.decoder.spans(batch, self.scores(rows)), sum(len(row.ids) for row in rows)

    def scores(self, rows):
        """Windows of like length share a call; each writes its scores to where the document has them."""
        keep = np.array([row.keep for row in rows])
        places = np.cumsum(keep) - keep
        names, scores = self.decoder.outputs, {}
        for group in by_length(rows):
            inputs = shared.padded([rows[at] for at in group], self.bundle["window"]["pad"])
            for name, output in zip(names, self.session.run(names, inputs)):
                if name not in scores:
                    scores[name] = np.empty((keep.sum() if name == "logits" else len(rows), output.shape[-1]), np.float32)
                if name == "classes":
                    scores[name][group] = output
                    continue
                for at, own in zip(group, output):
                    row, place = rows[at], places[at]
                    scores[name][place : place + row.keep] = own[row.skip : row.skip + row.keep]
        return scores


def by_length(rows):
    """Indices of rows, in groups of at most BATCH_TOKENS when padded."""
    group, longest = [], 0
    for at in sorted(range(len(rows)), key=lambda at: -len(rows[at].ids)):
        longest = longest if group else len(rows[at].ids)
        if group and (len(group) + 1) * longest > BATCH_TOKENS:
            yield group
            group, longest = [], len(rows[at].ids)
        group.append(at)
    yield group


class Batch:
    """Messages of one poll: their offsets may be committed when no output is pending."""

    def __init__(self, offsets):
        self.offsets, self.pending = offsets, 0

    def delivered(self, error, _):
        if error:
            raise KafkaException(error)
        self.pending -= 1


class Worker:
    def __init__(self, index, options, board):
        self.index, self.options, self.board = index, options, board
        self.model = Model(options.bundle)
        self.model.extract([shared.Document("warm", "One sentence to warm the model.")])
        self.producer = Producer({"bootstrap.servers": options.brokers, "linger.ms": 50, "compression.type": "lz4"})
        self.consumer = Consumer({
            "bootstrap.servers": options.brokers,
            "group.id": options.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
        })
        self.batches, self.committed_at, self.started = deque(), time.monotonic(), False
        self.poll = 1

    def assigned(self, consumer, partitions):
        consumer.assign(partitions)
        # Until all have their share, so that no rebalance of the start repeats work.
        if not self.started:
            consumer.pause(partitions)
        self.board.assigned[self.index] = len(partitions)

    def revoked(self, *_):
        """Others go on from here, so nothing may be left behind."""
        self.commit(everything=True)

    def commit(self, everything=False):
        """Commits what is acknowledged up to the first batch that is not."""
        if everything:
            self.producer.flush()
        offsets = None
        while self.batches and not self.batches[0].pending:
            offsets = {**(offsets or {}), **self.batches.popleft().offsets}
        if offsets:
            places = [TopicPartition(self.options.input, *place) for place in offsets.items()]
            self.consumer.commit(offsets=places, asynchronous=not everything)
        self.committed_at = time.monotonic()

    def work(self, polled):
        """From messages to outputs on their way."""
        documents, pages, offsets = [], 0, {}
        for message in polled:
            if message.error():
                raise KafkaException(message.error())
            found, read = shared.documents(message, self.options.lines, read_pdf)
            documents += found
            pages += read
            offsets[message.partition()] = message.offset() + 1
        spans, tokens = self.model.extract(documents)
        batch = Batch(offsets)
        for document, found in zip(documents, spans):
            batch.pending += 1
            self.producer.produce(self.options.output, shared.record(document, found), on_delivery=batch.delivered)
        self.batches.append(batch)
        self.board.add(len(polled), tokens, pages)
        self.poll = min(POLL_MAX, 1 + POLL_TOKENS * len(polled) // max(tokens, 1))

    def run(self):
        self.consumer.subscribe([self.options.input], on_assign=self.assigned, on_revoke=self.revoked)
        while not self.board.stop.is_set():
            if not self.started and self.board.go.is_set():
                self.started = True
                self.consumer.resume(self.consumer.assignment())
            polled = self.consumer.consume(num_messages=self.poll, timeout=IDLE_S)
            if polled:
                self.work(polled)
            self.producer.poll(0)
            if not polled or time.monotonic() - self.committed_at > COMMIT_INTERVAL_S:
                self.commit()
        self.commit(everything=True)
        self.consumer.close()


class Board:
    """What the processes tell each other."""

    def __init__(self, workers):
        context = multiprocessing.get_context("spawn")
        # Partitions of each worker; -1 until it has been given its share, which may be none.
        self.assigned = context.Array("l", [-1] * workers)
        # Messages, tokens and pages so far.
        self.done = context.Array("q", [0, 0, 0])
        self.go, self.stop = context.Event(), context.Event()

    def add(self, *more):
        with self.done.get_lock():
            for at, value in enumerate(more):
                self.done[at] += value


def process(index, options, board):
    # The parent tells when to stop; a signal may go to the whole group.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # Dies with the parent, however that dies.
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    Worker(index, options, board).run()


def partitions(options):
    client = AdminClient({"bootstrap.servers": options.brokers})
    return len(client.list_topics(options.input, timeout=30).topics[options.input].partitions)


def main():
    options = shared.arguments(__doc__.splitlines()[0]).parse_args()
    total, ended = partitions(options), []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(143))
    board, context = Board(WORKERS), multiprocessing.get_context("spawn")
    workers = [context.Process(target=process, args=(at, options, board)) for at in range(WORKERS)]
    for worker in workers:
        worker.start()
    while not board.stop.is_set():
        if any(worker.exitcode is not None for worker in workers):
            ended.append(1)
        shares = list(board.assigned)
        if not board.go.is_set() and min(shares) >= 0 and sum(shares) == total:
            print("ready", flush=True)
            board.go.set()
        if ended or board.done[0] >= options.count:
            board.stop.set()
        time.sleep(0.01)
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        ended.append(1)
    if ended:
        sys.exit(ended[0])
    print(json.dumps(dict(zip(("messages", "tokens", "pages"), board.done))), flush=True)


if __name__ == "__main__":
    main()
