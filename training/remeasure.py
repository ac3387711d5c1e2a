"""Measures the bundles again with the real program, `sluice eval`, and writes the figures into
bundle.json and the int8 columns, tables and sentences of the model cards. Calibration and
thresholds stay as they are, and so do figures of float32, of tuning and of speed. What the program
does not tell (calibration error before the fit, identifiers by the rules of `clinical/rules.py`)
comes from the evaluations of this folder, which must agree with it on the rest."""

import argparse
import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from clinical import sources
from heads import recipes

HERE = Path(__file__).resolve().parent
# As the worker's test of the cards allows.
TOLERANCE = 0.002
SPLITS = ("test", "dev")
# Heads of the models of several: model, data, and how it is read. `{}` is the split.
HEADS = {
    "incident-logs": {
        "entities": ("mwo2kg_ner/{}.conll",),
        "maintie": ("maintie/{}.jsonl",),
        "failure_mode": ("mwo2kg_failure_mode/{}.csv",),
        "cause": ("omin_faa/{}.jsonl", "--text-key", "narrative", "--class-key", "primary_cause"),
        "phase": ("omin_faa/{}.jsonl", "--text-key", "narrative", "--class-key", "flight_phase",
                  "--rest", "Other phase"),
    },
    "support-tickets": {"intent": ("clinc150/data_full.json",), "banking_intent": ("banking77/{}.csv",)},
}
SIX = ("Item", "Activity", "Observation", "Location", "Consumable", "Agent")
# Name of a figure in a card, and where the program and `heads.evaluate` tell it.
NAMES = {
    "micro F1": ("outer_micro/f1", "micro/f1"),
    "precision": ("outer_micro/p", "micro/p"),
    "recall": ("outer_micro/r", "micro/r"),
    "in-scope accuracy": ("in_scope_accuracy",) * 2,
    "accuracy": ("accuracy",) * 2,
    "macro F1": ("macro_f1",) * 2,
    "out-of-scope recall by class": ("out_of_scope_recall",) * 2,
    "out-of-scope recall by class or low confidence": ("out_of_scope_caught",) * 2,
    "in-scope answers not sent to review": ("in_scope_sure",) * 2,
    "accuracy of those": ("in_scope_sure_accuracy",) * 2,
}
CLAUSES = (("flag mAP", "flag_map"), ("span AUPR, one to one", "span_aupr_one_to_one"),
           ("span AUPR, authors", "span_aupr_authors"), ("P@80R", "span_p_at_80r"))
GATE = (("flag mAP", "flag_map"), ("span AUPR, one to one", "span_aupr_one_to_one"),
        ("spans F1", "span_micro/f1"), ("flags F1", "flag_micro/f1"))
PDF_FIGURES = ("flag_map", "span_micro/f1", "span_aupr_one_to_one")


def at(report, path):
    for key in path.split("/"):
        report = report[key]
    return report


def shown(value):
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def rounded(value):
    return {k: round(v, 4) for k, v in value.items()} if isinstance(value, dict) else round(value, 4)


def agree(what, told, reference):
    if abs(told - reference) > TOLERANCE:
        sys.exit(f"{what}: the program tells {told:.4f}, the evaluation of this folder {reference:.4f}")


class Card:
    """A model's README.md. What is to be replaced must be there once."""

    def __init__(self, path):
        self.path, self.text = path, path.read_text(encoding="utf-8")

    def put(self, sentence, *values):
        """Puts `values` where `sentence` has `{}`; a space of it may be a line's end."""
        parts = [r"\s+".join(map(re.escape, part.split(" "))) for part in sentence.split("{}")]
        found = list(re.finditer(r"(\d\.\d{3}|\d+)".join(parts), self.text))
        assert len(found) == 1, f"{self.path}: {len(found)} times: {sentence}"
        for number, value in reversed(list(enumerate(values, 1))):
            first, last = found[0].span(number)
            self.text = self.text[:first] + shown(value) + self.text[last:]

    def row(self, header, keys, values):
        """Sets the cells after `keys` in the table whose header begins so; None leaves one."""
        lines, hits, inside = self.text.split("\n"), 0, False
        for number, line in enumerate(lines):
            inside = line.startswith("|") and (inside or line.startswith(header))
            cells = [cell.strip() for cell in line.split("|")[1:-1]]
            if inside and cells[: len(keys)] == list(keys):
                old = cells[len(keys) :]
                assert len(old) == len(values), f"{self.path}: {line}"
                new = [a if b is None else shown(b) for a, b in zip(old, values)]
                lines[number] = "| " + " | ".join([*keys, *new]) + " |"
                hits += 1
        assert hits == 1, f"{self.path}: {hits} rows {keys}"
        self.text = "\n".join(lines)

    def measured(self, report):
        """Says what was measured, where it speaks of it."""
        said = re.compile(r"(int8\s+was\s+measured\s+at\s+revision\s+)\S+(\s+with\s+ONNX\s+Runtime\s+)\S+"
                          r"(\s+on\s+)`[^`]*`")
        assert len(said.findall(self.text)) == 1, f"{self.path}: it does not say what was measured"
        self.text = said.sub(rf"\g<1>{report['revision']}\g<2>{report['onnxruntime']}\g<3>"
                             f"`{report['cpu_class']}`", self.text)


class Bench:
    """One model's evaluations."""

    def __init__(self, args, model):
        self.sluice, self.data = str(Path(args.sluice).resolve()), Path(args.data).resolve()
        self.model, self.work = model, Path(args.work).resolve()
        self.folder = Path(args.models).resolve() / model
        # The evaluations of this folder keep logits beside the model.
        self.copy = self.work / model
        shutil.copytree(self.folder, self.copy, dirs_exist_ok=True)
        self.bundle = json.loads((self.folder / "bundle.json").read_text(encoding="utf-8"))
        self.card = Card(self.folder / "README.md")

    def run(self, name, command):
        """What `command` prints, or printed before for this revision."""
        path = self.work / f"{name}.json"
        if not path.exists() or json.loads(path.read_bytes())["revision"] != self.bundle["revision"]:
            print(name, flush=True)
            said = subprocess.run(command, cwd=HERE, stdout=subprocess.PIPE, check=True)
            path.write_bytes(said.stdout)
        return json.loads(path.read_bytes())

    def told(self, name, data, *more):
        """What the program tells of the data."""
        report = self.run(f"{self.model}_{name}", [
            self.sluice, "eval", str(self.folder), "--data", str(self.data / data),
            *map(str, more), "--format", "json"])
        self.last = report
        return report["text"]

    def reference(self, split, *command, data="."):
        """What an evaluation of this folder tells of the split."""
        name = command[0].removesuffix(".py")
        script = [command[0]] if command[0].endswith(".py") else ["-m", command[0]]
        return self.run(f"{self.model}_{split}_{name}", [
            sys.executable, *script, *command[1:], "--data", str(self.data / data),
            "--bundle", str(self.copy), "--split", split])

    def close(self, metrics):
        self.card.measured(self.last)
        self.card.path.write_text(self.card.text, encoding="utf-8")
        self.bundle["metrics"] = metrics
        text = json.dumps(self.bundle, indent=1) + "\n"
        (self.folder / "bundle.json").write_text(text, encoding="utf-8")


def contracts(bench):
    card, metrics, told, known, shares = bench.card, {"dev": {}, "test": {}}, {}, {}, {}
    for split in SPLITS:
        data = f"cuad/{split}.jsonl.gz"
        told[split] = bench.told(split, data)
        shares[split] = bench.last["gated_share"]
        known[split] = bench.reference(split, "evaluate.py", data="cuad")
        for name, before in bench.bundle["metrics"][split].items():
            # What only tuning knows stays.
            source = next((r for r in (told[split], known[split]) if name in r), {name: before})
            metrics[split][name] = rounded(source[name])
        for _, name in CLAUSES:
            agree(f"{split} {name}", told[split][name], known[split][name])
        bench.told(f"pdf_{split}", data, "--pdf", bench.data / "cuad/pdf")
        card.row("| split |", [split], [at(bench.last[kind], figure) for figure in PDF_FIGURES
                                        for kind in ("text", "pdf")])
    for title, name in CLAUSES:
        card.row("| | int8 test |", [title], [told["test"][name], None, None, told["dev"][name], None, None])
    for title, path in GATE:
        card.row("| | all read test |", [title],
                 [None, at(told["test"], path), None, at(told["dev"], path)])
    card.put("It keeps {} % of the tokens of test", round(100 * shares["test"]))
    test, other = told["test"], known["test"]
    card.put("Highest recall of any candidate on test: {}.", test["span_recall_of_candidates"])
    card.put("thresholds on test: spans P {}, R {}, F1 {}; flags P {}, R {}, F1 {}.",
             *(test[name][rate] for name in ("span_micro", "flag_micro") for rate in ("p", "r", "f1")))
    card.put("all candidates {} and {} (most are near 0), flags {} and {}; spans that are reported {}.",
             other["span_ece_uncalibrated"], test["span_ece"], other["flag_ece_uncalibrated"],
             test["flag_ece"], other["span_ece_reported"])
    for label in test["labels"]:
        flag, span = label["flag"], label["span"]
        card.row("| label | contracts |", [label["label"]], [
            label["documents"], label["flag_ap"], flag["p"], flag["r"], label["spans"],
            label["span_aupr"], span["p"], span["r"], span["f1"]])
    return metrics


def subset(labels, names):
    """Micro F1 over some labels, from their rates."""
    hits, found, golds = 0, 0, 0
    for label in (label for label in labels if label["label"] in names):
        right = round(label["r"] * label["golds"])
        hits, found, golds = hits + right, found + round(right / label["p"]), golds + label["golds"]
    return 2 * hits / (found + golds)


def banking_dev(bench):
    """The part that the recipe holds back of the training texts, as a file."""
    recipe, path = recipes.load("support-tickets"), bench.work / "banking_dev.csv"
    with path.open("w", encoding="utf-8", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(("text", "category"))
        for record in recipe.read_banking(bench.data / "banking77", "dev"):
            rows.writerow((record.text, record.classes["banking_intent"]))
    return path


def heads(bench):
    card, metrics, told = bench.card, {"dev": {}, "test": {}}, {}
    known = {split: bench.reference(split, "heads.evaluate", "--recipe", bench.model)["int8"]["heads"]
             for split in SPLITS}
    for head, (data, *more) in HEADS[bench.model].items():
        for split in SPLITS:
            path = banking_dev(bench) if (head, split) == ("banking_intent", "dev") else data.format(split)
            part = {"intent": ["--split", "val" if split == "dev" else "test"]}.get(head, [])
            told[split] = bench.told(f"{head}_{split}", path, "--head", head, *part, *more)
            metrics[split][head] = {}
            for name in bench.bundle["metrics"][split][head]:
                mine, other = (at(report, path) for report, path in
                               zip((told[split], known[split][head]), NAMES[name]))
                agree(f"{split} {head} {name}", mine, other)
                metrics[split][head][name] = rounded(mine)
        for name in metrics["test"][head]:
            test, dev = (at(told[split], NAMES[name][0]) for split in SPLITS)
            card.row("| head | figure |", [head, name], [test, None, None, dev, None])
        ece = "outer_ece" if "outer_ece" in told["test"] else "ece"
        card.row("| head | ECE test, before |", [head], [
            figure for split in SPLITS
            for figure in (known[split][head]["ece_uncalibrated"], told[split][ece])])
        for label in told["test"]["labels"] if "labels" in known["test"][head] else ():
            rates = label.get("outer", label)
            card.row("| head | label |", [head, label["label"]], [None, *(rates[k] for k in ("p", "r", "f1"))])
        if (bench.model, head) == ("incident-logs", "entities"):
            card.put("`entities` has a micro F1 of {} on test", subset(told["test"]["labels"], SIX))
    return metrics


def identifiers(bench, name, records):
    """What the model alone covers of the identifiers of `records`."""
    path = bench.work / f"{name}.jsonl"
    with path.open("w", encoding="utf-8") as out:
        for record in records:
            spans = [{"label": label, "start": a, "end": b} for label, a, b in record.spans["phi"]
                     if label != sources.IGNORED]
            out.write(json.dumps({"id": record.id, "text": record.text, "spans": spans}) + "\n")
    return bench.told(name, path, "--head", "phi", "--identifiers")


def clinical(bench):
    card, told, alone, known = bench.card, {}, {}, {}
    for split in SPLITS:
        told[split] = bench.told(f"entities_{split}", f"maccrobat2020/{split}.jsonl")
        alone[split] = identifiers(bench, f"asq_{split}", sources.asq_phi(bench.data, split))
        known[split] = bench.reference(split, "clinical.evaluate")
        agree(f"{split} entities", told[split]["micro"]["f1"], known[split]["entities"]["micro"]["f1"])
        for name in ("covered", "precision"):
            agree(f"{split} {name}", alone[split][name],
                  known[split]["identifiers"]["asq_phi"]["model"][name])
    table = "| | int8 test |"
    test, dev = (told[split]["micro"]["f1"] for split in SPLITS)
    card.row(table, ["entities, strict micro F1"], [test, None, None, dev, None, None])
    for way, title in (("both", "model and rules"), ("model", "model"), ("rules", "rules")):
        for name in ("covered", "precision"):
            test, dev = (known[split]["identifiers"]["asq_phi"][way][name] if way != "model" else
                         alone[split][name] for split in SPLITS)
            card.row(table, [f"identifiers, {title}: {name}"], [test, None, None, dev, None, None])
    fitted = bench.reference("test", "heads.evaluate", "--recipe", "clinical-notes")["int8"]["heads"]
    card.put("entities {} and {}, history {} and {}, phi {} and {}.",
             *(fitted[head][name] for head in ("entities", "history", "phi")
               for name in ("ece_uncalibrated", "ece")))
    for label in told["test"]["labels"]:
        # Labels of identifiers are not those of the reports.
        if not label["label"].startswith("phi_"):
            card.row("| label | annotations |", [label["label"]],
                     [label["golds"], *(label[k] for k in ("p", "r", "f1"))])
    ways = known["test"]["identifiers"]["asq_phi"]
    for name, row in alone["test"]["labels"].items():
        card.row("| identifier, ASQ-PHI test |", [name], [
            row["identifiers"], row["covered"], *(ways[way]["labels"][name]["covered"] for way in ("rules", "both"))])
    notes = [r for r in recipes.load("clinical-notes").read(bench.data, "test") if r.id.startswith("aci-")]
    model = identifiers(bench, "aci_test", notes)
    ways = known["test"]["identifiers"]["aci_bench"]
    agree("notes covered", model["covered"], ways["model"]["covered"])
    card.put("covered by the model {}, by rules {}, by both {}.",
             model["covered"], ways["rules"]["covered"], ways["both"]["covered"])
    both = known["test"]["identifiers"]["asq_phi"]["both"]
    return {"entities_micro_f1_test": rounded(told["test"]["micro"]["f1"]),
            "identifiers_covered_test": rounded(both["covered"]),
            "identifiers_precision_test": rounded(both["precision"])}


MODELS = {"support-tickets": heads, "incident-logs": heads, "clinical-notes": clinical, "contracts": contracts}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="folder of the data sets, CUAD in `cuad`")
    parser.add_argument("--work", required=True,
                        help="where the evaluation files go; those of the same revision are read again")
    parser.add_argument("--sluice", default=HERE.parent / "target/release/sluice", help="the program")
    parser.add_argument("--models", default=HERE.parent / "models")
    parser.add_argument("model", nargs="*", help=f"of {', '.join(MODELS)}; all without one")
    args = parser.parse_args()
    Path(args.work).mkdir(parents=True, exist_ok=True)
    for model in args.model or MODELS:
        bench = Bench(args, model)
        bench.close(MODELS[model](bench))


if __name__ == "__main__":
    main()
