"""Fills the recipe's card template with the measured figures and puts the headline ones into
bundle.json; copies its NOTICE. No figure is typed by hand, floors set for the project aside."""

import argparse
import json
from pathlib import Path

from heads.evaluate import read_bundle

HERE = Path(__file__).parent / "recipes"


def headline(report):
    """{figure: value} of one head's report."""
    if "micro" in report:
        return {"micro F1": report["micro"]["f1"], "precision": report["micro"]["p"],
                "recall": report["micro"]["r"]}
    names = {"in_scope_accuracy": "in-scope accuracy", "accuracy": "accuracy", "macro_f1": "macro F1",
             "out_of_scope_recall": "out-of-scope recall by class",
             "out_of_scope_caught": "out-of-scope recall by class or low confidence",
             "in_scope_sure": "in-scope answers not sent to review",
             "in_scope_sure_accuracy": "accuracy of those"}
    return {text: report[key] for key, text in names.items() if key in report}


def shown(value):
    return "-" if value is None else f"{value:.3f}"


def figures(reports, linear, floors):
    """Markdown table, a row a figure; reports and linear by split."""
    rows = ["| head | figure | int8 test | fp32 test | linear test | int8 dev | fp32 dev |",
            "|---|---|---|---|---|---|---|"]
    for head, report in reports["test"]["int8"]["heads"].items():
        for at, figure in enumerate(headline(report)):
            values = [headline(reports[split][model]["heads"][head])[figure]
                      for split in ("test", "dev") for model in ("int8", "fp32")]
            floor = floors.get(head, linear["accuracy"].get(head)) if at == 0 else None
            rows.append("| " + " | ".join([head, figure, *map(shown, values[:2]), shown(floor),
                                           *map(shown, values[2:])]) + " |")
    return "\n".join(rows)


def calibration(reports):
    rows = ["| head | ECE test, before | after | dev, before | after |", "|---|---|---|---|---|"]
    for head in reports["test"]["int8"]["heads"]:
        values = [reports[split]["int8"]["heads"][head][key]
                  for split in ("test", "dev") for key in ("ece_uncalibrated", "ece")]
        rows.append("| " + " | ".join([head, *map(shown, values)]) + " |")
    return "\n".join(rows)


def labels(report):
    """A row a label, for the heads that list them."""
    rows = ["| head | label | in test | P | R | F1 |", "|---|---|---|---|---|---|"]
    for head, part in report.items():
        for name, row in part.get("labels", {}).items():
            rows.append(f"| {head} | {name} | {row['golds']} | {row['p']:.3f} | {row['r']:.3f} | "
                        f"{row['f1']:.3f} |")
    return "\n".join(rows)


def subset(report, names):
    """Micro F1 over some labels of an entities head."""
    hits, predicted, golds = (sum(report["counts"][name][k] for name in names) for k in range(3))
    return 2 * hits / (predicted + golds)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--reports", required=True, help="folder of dev.json, test.json and, if at hand, linear.json")
    args = parser.parse_args()
    folder, work = Path(args.bundle), Path(args.reports)
    bundle = read_bundle(folder)
    reports = {split: json.loads((work / f"{split}.json").read_text()) for split in ("dev", "test")}
    linear = {"accuracy": {}}
    if (work / "linear.json").exists():
        linear = json.loads((work / "linear.json").read_text())
    test = reports["test"]["int8"]
    extra = json.loads((HERE / f"{args.recipe}.json").read_text())
    subsets = {name: shown(subset(test["heads"][head], wanted))
               for name, (head, wanted) in extra["subsets"].items()}
    bundle["metrics"] = {split: {head: {k: round(v, 4) for k, v in headline(report).items()}
                                 for head, report in reports[split]["int8"]["heads"].items()}
                         for split in reports}
    (folder / "bundle.json").write_text(json.dumps(bundle, indent=1) + "\n", encoding="utf-8")
    pieces = len(json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"])
    text = (HERE / f"{args.recipe}.card.md").read_text(encoding="utf-8").format(
        revision=bundle["revision"], decoder=bundle["decoder"]["version"], pieces=pieces,
        tokens=bundle["window"]["tokens_max"], stride=bundle["window"]["stride"],
        size=(folder / "model.onnx").stat().st_size / 1e6,
        figures=figures(reports, linear, extra["floors"]), calibration=calibration(reports),
        labels=labels(test["heads"]), speed=test["texts_by_cpu_second"], **subsets)
    (folder / "README.md").write_text(text, encoding="utf-8")
    notice = (HERE / f"{args.recipe}.notice").read_text(encoding="utf-8")
    (folder / "NOTICE").write_text(notice, encoding="utf-8")


if __name__ == "__main__":
    main()
