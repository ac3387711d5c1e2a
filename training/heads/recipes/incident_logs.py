"""incident-logs: maintenance work orders and incident narratives."""

import csv
import json
from collections import Counter
from pathlib import Path

from heads.data import Head, Record

NAME = "incident-logs"
BASE = "sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0)"
DATA = ("MWO2KG (Apache-2.0), MaintIE (MIT), OMIn / FAA accident and incident records (Apache-2.0, "
        "public domain), UWA Prognostics Data Library excavators in MaintKG (MIT, raw texts)")
LICENSE = "Apache-2.0"
EXAMPLES = (
    "replace blown hydraulic hose on LH boom cylinder",
    "engine oil leaking from turbo - fitter to investigate",
    "Air con not working in operators cab; regas unit",
    "changeout 2 worn bucket teeth",
    "pump 3A tripped on overload, bearing noisy",
    'c/o l/h track-roller (worn), o-ring u/s; air/con "n/w".',
    "PILOT LOST ENGINE POWER DURING INITIAL CLIMB. LANDED IN A FIELD. FUEL TANKS WERE EMPTY.",
)
MAINTIE = ("PhysicalObject", "Activity", "State", "Process", "Property")
FAILURES = (
    "Abnormal instrument reading", "Breakdown", "Contamination", "Electrical", "Erratic output",
    "Fail to close", "Fail to function", "Fail to open", "Failure to rotate",
    "Failure to start on demand", "Failure to stop on demand", "High output", "Leaking",
    "Low output", "Minor in-service problems", "Noise", "Other", "Overheating",
    "Plugged / choked", "Spurious stop", "Structural deficiency", "Vibration")
# The FAA coders' own names, cut to 20 characters in the records.
CAUSES = (
    "Attempt Operation Wi", "Defic, Co Maintain E", "Fail/Incorrect Use M",
    "Improper Maintenance", "Improper Operation E", "Inadequate Insp Of A", "Inadequately Maintai")
OTHER_PHASE = "Other phase"
PHASES = (
    "Climb", "Descent", "Fcd/Prec Ldg From Cr", "Final Approach", "Forced Landing",
    "Forced/Precautionary", "Go Round (Aborted VF", "Ground Taxi, Other A",
    "Level Off Touchdown", "Normal Cruise", "Other Ground Ops", "Roll-Out (Fixed Wing",
    "Starting Engines", "Takeoff Ground Roll", "To Aborted (Fixed Wi", "To Init Climb(1st Pw",
    "To Vertical (Helicop", OTHER_PHASE)


def heads(data):
    """The heads; here they do not depend on the data."""
    return (
        Head("entities", "entities",
             ("Item", "Activity", "Observation", "Location", "Consumable", "Agent", "Specifier",
              "Cardinality", "Attribute", "Time"), smoothing=0.02, words="white_space"),
        Head("entities", "maintie", tuple(f"maintie_{name}" for name in MAINTIE), smoothing=0.02),
        Head("classes", "failure_mode", FAILURES, weight=0.5, smoothing=0.05),
        Head("classes", "cause", CAUSES, weight=0.25, smoothing=0.05),
        Head("classes", "phase", PHASES, weight=0.25, smoothing=0.05),
    )


def read_conll(path, head):
    """One word a line with its BIO tag, a blank line between texts; words joined by a space."""
    for number, block in enumerate(path.read_text(encoding="utf-8").strip().split("\n\n")):
        words, spans, at = [], [], 0
        for line in block.split("\n"):
            word, tag = line.rsplit(" ", 1)
            if tag.startswith("B-"):
                spans.append([tag[2:], at, at + len(word)])
            elif tag.startswith("I-"):
                spans[-1][2] = at + len(word)
            words.append(word)
            at += len(word) + 1
        yield Record(f"{path.stem}-{number}", " ".join(words), {head: [tuple(s) for s in spans]})


def read_jsonl(path):
    with path.open(encoding="utf-8") as lines:
        yield from (json.loads(line) for line in lines)


def read_maintie(path):
    for row in read_jsonl(path):
        starts, at = [], 0
        for token in row["tokens"]:
            starts.append(at)
            at += len(token) + 1
        spans = [(f"maintie_{e['type'].split('/')[0]}", starts[e["start"]],
                  starts[e["end"] - 1] + len(row["tokens"][e["end"] - 1])) for e in row["entities"]]
        yield Record(f"maintie-{row['id']}", " ".join(row["tokens"]), {"maintie": spans})


def read_failures(path):
    with path.open(encoding="utf-8", newline="") as lines:
        for number, (text, label) in enumerate(csv.reader(lines)):
            yield Record(f"failure-{number}", text, {}, {"failure_mode": label})


def read_faa(path):
    for row in read_jsonl(path):
        phase = row["flight_phase"] if row["flight_phase"] in PHASES else OTHER_PHASE
        yield Record(f"faa-{row['id']}", row["narrative"], {},
                     {"cause": row["primary_cause"], "phase": phase}, keep=0.4)


def read_raw(path):
    """Raw work orders, for language modelling and for a teacher to label."""
    texts = Counter(row["OriginalShorttext"].strip() for row in read_jsonl(path))
    for number, text in enumerate(sorted(texts)):
        yield Record(f"raw-{number}", text, keep=0.5)


def read(data, split):
    """Records of train, dev or test; `raw`: train and the raw work orders; `orders`: the work
    orders of both."""
    data, part = Path(data), "train" if split in ("raw", "orders") else split
    records = [
        *read_conll(data / "mwo2kg_ner" / f"{part}.conll", "entities"),
        *read_maintie(data / "maintie" / f"{part}.jsonl"),
        *read_failures(data / "mwo2kg_failure_mode" / f"{part}.csv"),
    ]
    # The order gives `orders` and `raw` the same record numbers, as teachers need.
    if split in ("raw", "orders"):
        records += read_raw(data / "pdl_excavator" / "train.jsonl")
    if split != "orders":
        records += read_faa(data / "omin_faa" / f"{part}.jsonl")
    return records
