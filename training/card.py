"""Writes the bundle's README.md from the evaluation files and puts the headline figures into
bundle.json. No figure is typed by hand."""

import argparse
import json
from pathlib import Path

HEAD = """# contracts

Finds 41 kinds of clauses and facts (parties, dates, governing law, caps on liability, ...) in
English commercial contracts: spans with calibrated confidences, and for every kind a flag that
says whether the contract has it. Revision {revision}.

- Task: multi-label token classification; decoder version {decoder}, specified in
  `training/DECODER.md`. Parameters, thresholds and calibration are in `bundle.json`.
- Model: MiniLM-L6 (6 layers, hidden size 384, 22 million parameters) with one linear head;
  windows of {tokens} tokens, stride {stride}; int8 weights (`model.onnx`, {size:.1f} MB). Fused
  operators of ONNX Runtime's `com.microsoft` domain are needed to run it.
- Recipe: `training/`.

## Intended use

Pre-sorting and pre-filling for a human reader of contracts. Not legal advice, and no ground for
a decision without a reader: clauses are missed and wrong ones reported, see the figures.

## Data and licence

- Trained on CUAD v1 (Contract Understanding Atticus Dataset), (c) The Atticus Project,
  CC BY 4.0; Hendrycks, Burns, Chen, Ball: CUAD, arXiv:2103.06268. The contracts are public
  exhibits from SEC EDGAR. Changes: split anew into train, dev and test (333, 52 and 63
  contracts, grouped by company and near-duplicates), answers turned into token labels.
- Base model: sentence-transformers/all-MiniLM-L6-v2, Apache-2.0.
- The model weights are offered under CC BY 4.0 with the attributions above (see `NOTICE`).

## Figures

Trained on train; decoder, thresholds and calibration fitted on dev; test was only measured.
Dev figures in the table are therefore optimistic; across five folds of dev contracts, with
calibration fitted on the other folds, span AUPR is {cross:.3f}.

{headline}

- Flag mAP: average precision of the flag over contracts, mean over labels with at least 3
  positive contracts. Span AUPR: area under precision and recall of the ranked spans, compared as
  word sets (Jaccard >= 0.5) inside contract and label; *one to one* lets a prediction take one
  answer, *authors* scores as the data set's authors do (Parties also by containment).
- P@80R: best precision at a recall of 80 %; 0 means that recall is not reached. Highest recall
  of any candidate on test: {recall:.3f}.
- At the shipped thresholds on test: spans P {sp:.3f}, R {sr:.3f}, F1 {sf:.3f}; flags P {fp:.3f},
  R {fr:.3f}, F1 {ff:.3f}.
- Calibration error (ECE), before and after the fit on dev: all candidates on test {sraw:.3f} and
  {sece:.3f} (dev {dsraw:.3f}, {dsece:.3f}), flags on test {fraw:.3f} and {fece:.3f} (dev {dfraw:.3f},
  {dfece:.3f}); spans that are reported, on test, {rece:.3f}. *Before*: the sigmoid of a candidate's
  base score, and of a flag's score.
- Speed, one thread, full windows one at a time, model only: {speed} tokens a second of CPU time
  in int8, {speed32} in float32, on a machine with AVX-512 VNNI.
- The linear baseline is TF-IDF with one logistic regression a label over the same sentences.

## By label, test split, int8

Labels with few contracts or spans have figures that chance moves a lot.

| label | contracts | flag AP | flag P | flag R | spans | span AUPR | span P | span R | span F1 |
|---|---|---|---|---|---|---|---|---|---|
{table}

## Gate

`gate.bin` keeps sentences from the model in which it expects nothing (`training/DECODER.md`, section
10). What the model finds in the training contracts has taught it: across four folds of them it keeps
98.6 % of the confidence of each label's best answer in a contract, averaged over labels.
It keeps {spared:.0f} % of the tokens of test from the model. All figures of int8 on this page but those of
*all read* are with it.

{gate}

`gate: false` in `pipeline.yaml` has the model read all.

## On the text of PDFs

The 40 contracts of dev and test whose original PDF is at hand, each measured on the text of the
data set and on the text of its PDF (`sluice eval DIR --data FILE --pdf DIR`):

{pdf}

Paragraphs of a PDF are found by the gaps between its lines; typographic quotes and dashes are read
as the typed ones of the data set.

## Limits

- English only, commercial contracts in the style of SEC exhibits. Scanned text, other layouts
  and other legal systems were not measured.
- Clauses are reported as whole sentences by simple character rules; a clause that is part of a
  long list, or spread over sentences, is cut accordingly. Sentences broken by page furniture
  stay broken.
- The same answer may be stated more than once; annotators marked one place, so repeated
  statements count as errors in these figures and repeated names are reported once.
- Labels with fewer than 40 training spans are weak: {rare}.
- The int8 weights have seven bits so that CPUs without VNNI compute the same products; a single
  confidence differs there (ARCHITECTURE.md).
- Contract names, parties and dates are looked for by position and wording of the usual opening;
  Effective Date is the weakest of them.
"""

ROWS = (("flag mAP", "flag_map"), ("span AUPR, one to one", "span_aupr_one_to_one"),
        ("span AUPR, authors", "span_aupr_authors"), ("P@80R", "span_p_at_80r"))


PDF_FIGURES = (("flag AP", ("flag_map",)), ("span F1", ("span_micro", "f1")),
               ("span AUPR", ("span_aupr_one_to_one",)))


def pdf_table(reports):
    """The table from `pdf_dev.json` and `pdf_test.json`, as `sluice eval --format json` tells."""
    heads = [f"{name}, {kind}" for name, _ in PDF_FIGURES for kind in ("data", "PDF")]
    lines = ["| split | " + " | ".join(heads) + " |", "|---" * (1 + len(heads)) + "|"]
    for split in ("dev", "test"):
        report = json.loads((reports / f"pdf_{split}.json").read_text())
        cells = []
        for _, path in PDF_FIGURES:
            for kind in ("text", "pdf"):
                cells.append(number(at(report[kind], path)))
        lines.append(f"| {split} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


GATE_FIGURES = (("flag mAP", ("flag_map",)), ("span AUPR, one to one", ("span_aupr_one_to_one",)),
                ("spans F1", ("span_micro", "f1")), ("flags F1", ("flag_micro", "f1")))


def gate_table(columns):
    """The table of what the gate costs."""
    order = [(kind, split) for split in ("test", "dev") for kind in ("all read", "gated")]
    lines = ["| | " + " | ".join(f"{kind} {split}" for kind, split in order) + " |",
             "|---" * (1 + len(order)) + "|"]
    for title, path in GATE_FIGURES:
        cells = []
        for kind, split in order:
            report = columns["int8" if kind == "gated" else "whole", split]
            cells.append(number(at(report, path)))
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def at(report, path):
    for key in path:
        report = report[key]
    return report


def number(value):
    return "-" if value is None else f"{value:.3f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--reports", required=True, help="folder with the evaluation files")
    args = parser.parse_args()
    folder, reports = Path(args.bundle), Path(args.reports)
    bundle = json.loads((folder / "bundle.json").read_text())
    columns = {}
    for model, name in (("int8", "int8"), ("whole", "whole"), ("fp32", "fp32"), ("linear", "baseline")):
        for split in ("dev", "test"):
            columns[model, split] = json.loads((reports / f"{name}_{split}.json").read_text())
    cross = json.loads((reports / "tune.json").read_text())["span_aupr_cross_validated"]

    order = [(m, s) for s in ("test", "dev") for m in ("int8", "fp32", "linear")]
    headline = ["| | " + " | ".join(f"{m} {s}" for m, s in order) + " |",
                "|---" * (len(order) + 1) + "|"]
    for title, key in ROWS:
        headline.append(f"| {title} | " + " | ".join(number(columns[c][key]) for c in order) + " |")
    test = columns["int8", "test"]
    table = []
    for name, v in test["labels"].items():
        cells = [v["contracts"], v["flag_ap"], v["flag_p"], v["flag_r"], v["spans"],
                 v["span_aupr"], v["span_p"], v["span_r"], v["span_f1"]]
        text = [str(c) if isinstance(c, int) else number(c) for c in cells]
        table.append(f"| {name} | " + " | ".join(text) + " |")
    counts = json.loads((Path(args.data) / "labels.json").read_text())
    rare = [c["label"] for c in counts if c["spans"]["train"] < 40]

    (folder / "README.md").write_text(HEAD.format(
        pdf=pdf_table(reports), gate=gate_table(columns),
        spared=100 * json.loads((reports / "gated_test.json").read_text())["gated_share"],
        revision=bundle["revision"], decoder=bundle["decoder"]["version"],
        tokens=bundle["window"]["tokens_max"], stride=bundle["window"]["stride"],
        size=(folder / "model.onnx").stat().st_size / 1e6, cross=cross,
        headline="\n".join(headline), recall=test["span_recall_of_candidates"],
        sp=test["span_micro"]["p"], sr=test["span_micro"]["r"], sf=test["span_micro"]["f1"],
        fp=test["flag_micro"]["p"], fr=test["flag_micro"]["r"], ff=test["flag_micro"]["f1"],
        sece=test["span_ece"], sraw=test["span_ece_uncalibrated"], fraw=test["flag_ece_uncalibrated"],
        dsraw=columns["int8", "dev"]["span_ece_uncalibrated"], dsece=columns["int8", "dev"]["span_ece"],
        dfraw=columns["int8", "dev"]["flag_ece_uncalibrated"], dfece=columns["int8", "dev"]["flag_ece"],
        rece=test["span_ece_reported"], fece=test["flag_ece"], table="\n".join(table),
        rare=", ".join(rare), speed=test["window_tokens_per_cpu_s"],
        speed32=columns["fp32", "test"]["window_tokens_per_cpu_s"]), encoding="utf-8")
    keep = [key for _, key in ROWS] + ["span_micro", "flag_micro", "span_ece_uncalibrated", "span_ece",
                                    "span_ece_reported", "flag_ece_uncalibrated", "flag_ece"]
    bundle["metrics"] = {
        split: {key: round(value, 4) if isinstance(value, float) else
                {k: round(v, 4) for k, v in value.items()}
                for key, value in ((key, columns["int8", split][key]) for key in keep)}
        for split in ("dev", "test")
    }
    bundle["metrics"]["dev"]["span_aupr_cross_validated"] = cross
    (folder / "bundle.json").write_text(json.dumps(bundle, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
