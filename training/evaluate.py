"""Figures of a bundle on a split, from the bundle alone. Prints JSON."""

import argparse
import json
import time
from pathlib import Path

import numpy as np

import decode
from data import load_documents, load_tokenizer, read_labels
from gate import Gate
from infer import Scorer, cached_logits
from metrics import SpanScore, calibration_error, flag_ap, precision_at_recall, prf


def raw_flags(flags, labels):
    """The flags' probabilities before their calibration: the sigmoid of their scores."""
    a = np.array([entry["flag_calibration"]["a"] for entry in labels])
    b = np.array([entry["flag_calibration"]["b"] for entry in labels])
    with np.errstate(divide="ignore"):
        return 1 / (1 + np.exp(-(np.log(flags / (1 - flags)) - b) / a))


def summarise(names, documents, predictions, flags, bundle):
    """predictions: all candidate spans by document; flags: probabilities, documents x labels."""
    truth = np.zeros(flags.shape, bool)
    spans, before = SpanScore(names), SpanScore(names)
    for i, (document, found) in enumerate(zip(documents, predictions)):
        for label, _, _ in document.gold:
            truth[i, label] = True
        gold = [(label, document.text[a:b]) for label, a, b in document.gold]
        told = [(s, document.text[s.start : s.end]) for s in found]
        spans.add(i, gold, [(s.label, text, s.confidence) for s, text in told])
        before.add(i, gold, [(s.label, text, decode.sigmoid(s.base)) for s, text in told])
    flag_mean, flag_by_label = flag_ap(flags, truth)
    aupr, curve = spans.aupr()
    rows = spans.rows()
    confidences = np.array([r[0] for r in rows])
    hits = np.array([r[1] for r in rows])
    labels = decode.clauses(bundle)["labels"]
    cut = np.array([entry["threshold"] for entry in labels])
    reported = confidences >= cut[[r[3] for r in rows]]
    flag_cut = np.array([entry["flag_threshold"] for entry in labels])
    by_label, total = {}, np.zeros(3, int)
    for label, name in enumerate(names):
        golds = sum(len(g) for (_, at), g in spans.golds.items() if at == label)
        mine = np.array([r[3] == label for r in rows]) & reported
        counts = np.array([hits[mine].sum(), mine.sum(), golds])
        total += counts
        by_label[name] = {
            "contracts": int(truth[:, label].sum()),
            "spans": golds,
            "flag_ap": flag_by_label.get(label),
            **{f"flag_{k}": v for k, v in prf(
                (truth[:, label] & (flags[:, label] >= flag_cut[label])).sum(),
                (flags[:, label] >= flag_cut[label]).sum(), truth[:, label].sum()).items()},
            "span_aupr": spans.aupr(label=label)[0] if golds else None,
            **{f"span_{k}": v for k, v in prf(*counts).items()},
        }
    raised = flags >= flag_cut
    raw_rows = before.rows()
    return {
        "flag_map": flag_mean,
        "flag_micro": prf((raised & truth).sum(), raised.sum(), truth.sum()),
        "flag_ece_uncalibrated": calibration_error(raw_flags(flags, labels).ravel(), truth.ravel()),
        "flag_ece": calibration_error(flags.ravel(), truth.ravel()),
        "span_aupr_one_to_one": aupr,
        "span_aupr_authors": spans.aupr(authors=True)[0],
        "span_recall_of_candidates": curve[-1][2],
        "span_p_at_80r": precision_at_recall(curve),
        "span_micro": prf(*total),
        "span_ece_uncalibrated": calibration_error([r[0] for r in raw_rows], [r[1] for r in raw_rows]),
        "span_ece": calibration_error(confidences, hits),
        "span_ece_reported": calibration_error(confidences[reported], hits[reported]),
        "labels": by_label,
    }


def predict(documents, logits, names, bundle):
    head = decode.clauses(bundle)
    predictions, flags = [], np.zeros((len(documents), len(names)))
    for i, (document, scores) in enumerate(zip(documents, logits)):
        starts, ends = document.starts.tolist(), document.ends.tolist()
        ranges = decode.sentences(document.text, starts)
        columns = np.asarray(scores, np.float64).T.tolist()
        found = []
        for label, params in enumerate(head["labels"]):
            spans, flags[i, label] = decode.decode_label(
                label, params, head["floor"], document.text, starts, ends, ranges, columns[label])
            found += spans
        predictions.append(found)
    return predictions, flags


def gated(scorer, gate, document):
    """Logits of a document of which the model reads what the gate leaves."""
    ranges = decode.sentences(document.text, document.starts.tolist())
    places = gate.places(document.ids, ranges, scorer.content, scorer.stride)
    return scorer.document(document.ids, places, gate.settings["unread"])


def throughput(scorer, document, runs=20):
    """Model tokens by second of CPU time, full windows one at a time."""
    ids = np.resize(document.ids, scorer.content)
    scorer.window(ids)
    began = time.process_time()
    for _ in range(runs):
        scorer.window(ids)
    return round(runs * (len(ids) + 2) / (time.process_time() - began))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--split", choices=("dev", "test"), default="dev")
    parser.add_argument("--model", default="model.onnx", help="another model file in the bundle")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--ungated", action="store_true", help="the model reads everything")
    args = parser.parse_args()
    folder = Path(args.bundle)
    bundle = json.loads((folder / "bundle.json").read_text())
    names = read_labels(args.data)
    assert names == [entry["name"] for entry in decode.clauses(bundle)["labels"]]
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    documents = load_documents(args.data, args.split, tokenizer, names)
    window = bundle["window"]
    scorer = Scorer(folder / args.model, window["tokens_max"], window["stride"], args.threads)
    gate = None if args.ungated else Gate.of(folder, bundle)
    if gate is None:
        logits = cached_logits(scorer, documents, folder / args.model)
    else:
        logits = [gated(scorer, gate, document) for document in documents]
    predictions, flags = predict(documents, logits, names, bundle)
    report = summarise(names, documents, predictions, flags, bundle)
    report = {"split": args.split, "model": args.model, "revision": bundle["revision"],
              "contracts": len(documents),
              "window_tokens_per_cpu_s": throughput(scorer, documents[0]), **report}
    print(json.dumps(report, indent=1, default=float))


if __name__ == "__main__":
    main()
