"""clinical-notes: medical entities and identifiers in notes."""

from clinical import headers, sources
from heads.data import Head

NAME = "clinical-notes"
BASE = "sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0)"
DATA = ("MACCROBAT 2020 (CC BY 4.0), BC5CDR (CC BY 4.0), NCBI Disease (CC BY 4.0), ASQ-PHI (MIT), "
        "presidio-research synthetic sentences (MIT), ACI-BENCH (CC BY 4.0), MTS-Dialog (CC BY 4.0)")
LICENSE = "CC-BY-4.0"
# A missed identifier costs more than a wrong one: what the head finds is kept, however unsure. The
# 31 History spans of dev tell no threshold: what is fitted to them lets headings through.
THRESHOLDS = {"phi": 0.05, "history": 0.5}
EXAMPLES = (
    "Patient: Rosa Winter, MRN 8812345. A 64-year-old woman was seen at Lakeside Clinic on "
    "March 3, 2021 with severe chest pain for two days. Past medical history of hypertension.",
    "She denies fever. Metoprolol 25 mg twice daily was started. Hemoglobin was 9.8 g/dL; "
    "chest CT showed a nodule of the left lung. Call 555-010-7788 or write to r.winter@example.org.",
)


def heads(data):
    """The shipped heads; the data do not change them."""
    return (
        Head("entities", "entities", sources.ENTITIES, smoothing=0.05),
        Head("entities", "history", sources.HISTORY, weight=0.3, smoothing=0.05),
        Head("entities", "phi", sources.PHI, weight=0.7, smoothing=0.02),
    )


def helping_heads(data):
    """Trained along and cut off at the export."""
    return (Head("entities", "other", sources.OTHER, weight=0.3, smoothing=0.05),)


def read(data, split):
    """Records of train, dev or test. In train every second case report has fake identifiers put
    in; of the sets that only teach identifiers there are parts, since `clinical.pretrain` has
    seen them whole."""
    if split == "train":
        reports = [headers.with_headers(r, 1000 + i) if i % 2 else r
                   for i, r in enumerate(sources.maccrobat(data, "train"))]
        notes = sources.aci_notes(data, "train")[::4]
        return [*reports, *sources.asq_phi(data, "train"), *sources.presidio(data, "train")[::4],
                *(headers.with_headers(r, i) for i, r in enumerate(notes))]
    notes = sources.aci_notes(data, "valid" if split == "dev" else "test1")
    records = [*sources.maccrobat(data, split), *sources.asq_phi(data, split),
               *(headers.with_headers(r, i, "test") for i, r in enumerate(notes))]
    for record in records:
        # Reports only hold fake identifiers in training; their places are not annotated.
        if "entities" in record.spans:
            del record.spans["phi"]
    return records
