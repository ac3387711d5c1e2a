"""Measures a clinical-notes bundle on a split; prints JSON.

- `entities`: strict micro F1 over the 14 labels of MACCROBAT, nested annotations counted too.
- `identifiers`: for the model, the rules of `clinical.rules` and both together, on ASQ-PHI and on
  ACI-BENCH notes with fake identifiers: an identifier is *covered* if every letter and digit of it
  lies in something found (whatever its kind), *touched* if any does; precision counts the joined
  findings that touch an identifier. Spans whose annotation is unknown are left out of both.
"""

import argparse
import json
from collections import Counter

from clinical import rules, sources
from heads import recipes
from heads.decode import decode
from heads.evaluate import bundle_heads, read_bundle
from heads.infer import Split
from metrics import prf

ENTITY_HEADS = ("entities", "history")


def findings(bundle, document, answer):
    """(label name, start, end) of all heads."""
    names = [label["name"] for head in bundle["heads"] for label in head["labels"]]
    return [(names[f.label], f.start, f.end) for f in decode(bundle, document, *answer)]


def entity_figures(rows):
    """rows: (record, findings). Strict: label, start and end must be those of the annotation."""
    hits, predicted, golds = Counter(), Counter(), Counter()
    for record, found in rows:
        gold = {span for head in ENTITY_HEADS for span in record.spans[head]}
        mine = {f for f in found if not f[0].startswith("phi_")}
        golds.update(label for label, _, _ in gold)
        predicted.update(label for label, _, _ in mine)
        hits.update(label for label, _, _ in gold & mine)
    return {"micro": prf(hits.total(), predicted.total(), golds.total()),
            "labels": {k: {"golds": golds[k], **prf(hits[k], predicted[k], golds[k])}
                       for k in sorted(golds)}}


def joined(spans):
    """Overlapping or touching spans as one."""
    out = []
    for start, end in sorted((a, b) for _, a, b in spans):
        if out and start <= out[-1][1]:
            out[-1][1] = max(end, out[-1][1])
        else:
            out.append([start, end])
    return out


def identifier_figures(rows):
    """rows: (record, findings)."""
    covered, touched, golds, right, total, exact = Counter(), Counter(), Counter(), 0, 0, 0
    for record, found in rows:
        regions = joined(found)
        inside = {i for a, b in regions for i in range(a, b)}
        known = [s for s in record.spans["phi"] if s[0] != sources.IGNORED]
        for label, a, b in known:
            signs = [i in inside for i in range(a, b) if record.text[i].isalnum()]
            golds[label] += 1
            covered[label] += all(signs)
            touched[label] += any(signs)
            exact += any((x, y) == (a, b) for _, x, y in found)
        for a, b in regions:
            met = [s for s in record.spans["phi"] if s[1] < b and a < s[2]]
            if not met or any(s[0] != sources.IGNORED for s in met):
                total += 1
                right += bool(met)
    return {"identifiers": golds.total(), "covered": covered.total() / golds.total(),
            "touched": touched.total() / golds.total(), "exact": exact / golds.total(),
            "precision": right / max(1, total), "found": total,
            "labels": {k: {"golds": golds[k], "covered": covered[k] / golds[k]} for k in sorted(golds)}}


def identifiers(rows):
    by_model = [(record, [f for f in found if f[0].startswith("phi_")]) for record, found in rows]
    by_rule = [(record, rules.find(record.text)) for record, _ in rows]
    both = [(record, a + b) for (record, a), (_, b) in zip(by_model, by_rule)]
    return {"model": identifier_figures(by_model), "rules": identifier_figures(by_rule),
            "both": identifier_figures(both)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--split", choices=("dev", "test"), default="dev")
    parser.add_argument("--model", default="model.onnx", help="model.onnx or model.fp32.onnx")
    args = parser.parse_args()
    bundle = read_bundle(args.bundle)
    records = recipes.load("clinical-notes").read(args.data, args.split)
    split = Split(args.bundle, bundle["window"], records, bundle_heads(bundle), args.model)
    rows = [(record, findings(bundle, document, answer))
            for record, document, answer in zip(records, split.documents, split.answers)]
    asq = [row for row in rows if row[0].id.startswith("asq-")]
    notes = [row for row in rows if row[0].id.startswith("aci-")]
    print(json.dumps({
        "split": args.split, "revision": bundle["revision"], "model": args.model,
        "entities": entity_figures([row for row in rows if "entities" in row[0].spans]),
        "identifiers": {"asq_phi": identifiers(asq), "aci_bench": identifiers(notes)},
    }, indent=1))


if __name__ == "__main__":
    main()
