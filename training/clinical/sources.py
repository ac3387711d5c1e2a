"""Clinical data sets -> `Record`s, one list a set and split.

Offsets are characters, end exclusive. A head missing from a record's spans is not annotated there.
Spans of the label `IGNORED` are left out of that head's loss and scores. Writes nothing.
"""

import json
import re
from pathlib import Path

from heads.data import Record, flat

IGNORED = "ignored"
ENTITIES = (
    "Age", "Sex", "Medication", "Dosage", "Lab_value", "Diagnostic_procedure", "Sign_symptom",
    "Disease_disorder", "Therapeutic_procedure", "Biological_structure", "Date", "Duration",
    "Severity",
)
# History spans hold other entities (a past disease is both), so they have a head of their own.
HISTORY = ("History",)
# Further labels of MACCROBAT, only trained on: they tell the words that look like the above apart.
OTHER = (
    "Detailed_description", "Clinical_event", "Nonbiological_location", "Coreference",
    "Administration", "Distance", "Activity", "Frequency", "Family_history", "Shape",
    "Personal_background", "Time", "Outcome", "Subject", "Volume", "Area", "Color", "Texture",
    "Quantitative_concept", "Qualitative_concept",
)
LIKE_PHI = ("Date", "Nonbiological_location", "Time")
PHI = ("phi_NAME", "phi_LOCATION", "phi_DATE", "phi_RECORD_NUMBER", "phi_PLAN_NUMBER", "phi_PHONE",
       "phi_SSN", "phi_EMAIL", "phi_ID")

ASQ_TO_PHI = {
    "NAME": "phi_NAME",
    "GEOGRAPHIC_LOCATION": "phi_LOCATION",
    "DATE": "phi_DATE",
    "MEDICAL_RECORD_NUMBER": "phi_RECORD_NUMBER",
    "HEALTH_PLAN_BENEFICIARY_NUMBER": "phi_PLAN_NUMBER",
    "PHONE_NUMBER": "phi_PHONE",
    "FAX_NUMBER": "phi_PHONE",
    "SOCIAL_SECURITY_NUMBER": "phi_SSN",
    "EMAIL_ADDRESS": "phi_EMAIL",
    "UNIQUE_IDENTIFIER": "phi_ID",
    "ACCOUNT_NUMBER": "phi_ID",
    "CERTIFICATE_LICENSE_NUMBER": "phi_ID",
    "IP_ADDRESS": "phi_ID",
}
# Organisations, nationalities and bare years are no identifiers of a patient, yet close to some:
# None leaves them out of the loss.
PRESIDIO_TO_PHI = {
    "PERSON": "phi_NAME",
    "STREET_ADDRESS": "phi_LOCATION",
    "GPE": "phi_LOCATION",
    "ZIP_CODE": "phi_LOCATION",
    "DATE_TIME": "phi_DATE",
    "PHONE_NUMBER": "phi_PHONE",
    "US_SSN": "phi_SSN",
    "EMAIL_ADDRESS": "phi_EMAIL",
    "CREDIT_CARD": "phi_ID",
    "IBAN_CODE": "phi_ID",
    "US_DRIVER_LICENSE": "phi_ID",
    "IP_ADDRESS": "phi_ID",
    "DOMAIN_NAME": "phi_ID",
    "ORGANIZATION": None,
    "NRP": None,
}
DATE_LIKE = re.compile(
    r"\b(?:jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)[a-z]*\b|\d+/\d+|\b(?:19|20)\d\d\b",
    re.IGNORECASE)
TITLED = re.compile(r"\b(?:Dr|Mr|Mrs|Ms|Miss)\.? (?:[A-Z][a-z]+ )?[A-Z][a-z]+\b")


def json_lines(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def maccrobat(data, split):
    """Case reports with all annotated spans, nested ones too."""
    records = []
    for record in json_lines(Path(data) / "maccrobat2020" / f"{split}.jsonl"):
        spans = sorted({(e["label"], e["start"], e["end"]) for e in record["entities"]},
                       key=lambda s: (s[1], s[2], s[0]))
        records.append(Record(record["id"], record["text"], {
            "entities": [s for s in spans if s[0] in ENTITIES],
            "history": [s for s in spans if s[0] in HISTORY],
            "other": [s for s in spans if s[0] in OTHER],
            # The reports were published without identifiers, but dates and places look like some.
            "phi": [(IGNORED, *s[1:]) for s in spans if s[0] in LIKE_PHI],
        }))
    return records


def bio_table(path, head, per_document=12):
    """Word and tag a line, a blank line between sentences; `per_document` sentences a document,
    since abstracts are not told apart."""
    sentences, words = [], []
    for line in [*path.read_text(encoding="utf-8").splitlines(), ""]:
        if line.strip():
            words.append(line.split("\t")[:2])
        elif words:
            sentences.append(words)
            words = []
    records = []
    for first in range(0, len(sentences), per_document):
        text, spans = "", []
        for sentence in sentences[first : first + per_document]:
            for word, tag in sentence:
                start = len(text)
                text += word
                if tag.startswith("I-") and spans and spans[-1][0] == tag[2:]:
                    spans[-1][2] = len(text)
                elif tag != "O":
                    spans.append([tag[2:], start, len(text)])
                text += " "
        spans = [tuple(s) for s in spans]
        records.append(Record(f"{head}-{path.stem}-{first}", text, {head: spans}))
    return records


def bc5cdr(data, split):
    return bio_table(Path(data) / "bc5cdr" / f"{split}.tsv", "bc5cdr")


def ncbi(data, split):
    return bio_table(Path(data) / "ncbi_disease" / f"{split}.tsv", "ncbi")


def asq_phi(data, split):
    """`train`, `dev` (every eighth of the published train) or `test`."""
    records = json_lines(Path(data) / "asq_phi" / f"{'test' if split == 'test' else 'train'}.jsonl")
    if split != "test":
        records = [r for i, r in enumerate(records) if (i % 8 == 7) == (split == "dev")]
    return [Record(r["id"], r["text"], {
        "phi": [(ASQ_TO_PHI[s["label"]], s["start"], s["end"]) for s in r["spans"]],
    }) for r in records]


def presidio(data, split):
    """Split by template: one in eight is `dev`."""
    rows = json.loads((Path(data) / "presidio_synth" / "synth_dataset_v2.json").read_text("utf-8"))
    records = []
    for number, record in enumerate(rows):
        if (record["template_id"] % 8 == 7) != (split == "dev"):
            continue
        text, spans = record["full_text"], []
        for s in record["spans"]:
            start, end = s["start_position"], s["end_position"]
            label = PRESIDIO_TO_PHI.get(s["entity_type"], "")
            if label is None or s["entity_type"] == "DATE_TIME" and s["entity_value"].isdigit():
                spans.append((IGNORED, start, end))
            elif label:
                # `Dr.` belongs to the name, as in asq_phi.
                title = re.search(r"\b(?:Dr|Mr|Mrs|Ms|Miss)\.? $", text[:start])
                with_title = label == "phi_NAME" and title
                spans.append((label, title.start() if with_title else start, end))
        records.append(Record(f"presidio-{number}", text, {"phi": flat(spans)}))
    return records


def aci_notes(data, split):
    """Notes (`train`, `valid`, `test1`, `test2`) with the names known from their metadata."""
    records = []
    for record in json_lines(Path(data) / "aci_bench" / f"{split}.jsonl"):
        text, meta = record["note"], record["meta"]
        spans = [("phi_NAME", *m.span()) for m in TITLED.finditer(text)]
        names = [meta.get("patient_firstname") or "", meta.get("patient_familyname") or ""]
        for name in (" ".join(names), *names):
            if len(name.strip()) > 2:
                pattern = rf"\b(?:M(?:r|rs|s)\.? )?{re.escape(name.strip())}\b"
                spans += [("phi_NAME", *m.span()) for m in re.finditer(pattern, text)]
        # Dates in the notes are not annotated; those put in by `headers` are.
        spans += [(IGNORED, *m.span()) for m in DATE_LIKE.finditer(text)]
        records.append(Record(f"aci-{record['encounter_id']}", text, {"phi": flat(spans)}))
    return records
