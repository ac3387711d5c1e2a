r"""Identifiers by regular expression: text -> [(label, start, end)] in characters.

The patterns are in the syntax of the Rust crate `regex` (no look-around), so that the worker's
pipeline can hold the same list; the group `value`, where there is one, is the span. They stand
beside the model's `phi` head: numbers, addresses and dates have a form, names mostly have none.
Does not decide what happens to a span.
"""

import re

MONTH = (r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|"
         r"Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|"
         r"SEP|OCT|NOV|DEC)\.?")
# A number as people write record and plan numbers: letters before, after or within, hyphens.
NUMBER = r"#? ?(?:[A-Za-z]{1,5}-?\d{2,}|\d{3,})[0-9A-Za-z-]*"
IS = r"(?:[ \t]*(?:number|no\.?|id|is|nr\.?|#|:))*[ \t]*"
STREET = (r"(?:St|Street|Ave|Avenue|Rd|Road|Ln|Lane|Dr|Drive|Blvd|Boulevard|Ct|Court|Pl|Place|Way|"
          r"Terrace|Pkwy|Parkway|Hwy|Highway|Sq|Square)\b\.?")

STATES = ("A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|"
          "T[NX]|UT|V[AT]|W[AIVY]")

RULES = (
    ("phi_SSN", r"\b\d{3}-\d{2}-\d{4}\b"),
    ("phi_SSN", r"(?i)\b(?:ssn|ss|social security)" + IS + r"(?P<value>\d{3}[ -]?\d{2}[ -]?\d{4})\b"),
    ("phi_PHONE", r"(?:\+\d{1,2}[ .-]?|\b1[ .-])?(?:\(\d{3}\) ?|\b\d{3}[ .-])\d{3}[ .-]\d{4}\b"
                  r"(?:\s*(?:x|ext\.?)\s*\d{1,5})?"),
    ("phi_PHONE", r"\+\d{1,3}[ .-]?(?:\(\d{1,4}\) ?)?\d(?:[ .-]?\d){6,12}\b"),
    ("phi_PHONE", r"(?i)\b(?:phone|tel|telephone|cell|mobile|fax|pager)" + IS
                  + r"\s*(?P<value>\+?\(?\d[\d ().-]{5,16}\d)"),
    ("phi_EMAIL", r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"),
    ("phi_ID", r"\bhttps?://[^\s<>()]+|\bwww\.[^\s<>()]+"),
    ("phi_ID", r"\b(?:\d{1,3}\.){3}\d{1,3}\b"),
    ("phi_ID", r"\b[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}\b"),
    ("phi_RECORD_NUMBER", r"(?i)\b(?:mrn?|med(?:ical)?\.?\s?rec(?:ord)?s?|chart|record|hospital)" + IS
                          + r"(?P<value>" + NUMBER + r")"),
    ("phi_PLAN_NUMBER", r"(?i)\b(?:insurance|insur|ins|health plan|plan|policy|member|subscriber|"
                        r"beneficiary|medicare|medicaid|hicn|hpbn)\.?(?:\s(?:plan|policy|beneficiary))?" + IS
                        + r"(?P<value>" + NUMBER + r")"),
    ("phi_ID", r"(?i)\b(?:(?:patient|pt|case|study|visit|encounter|user) ?)?(?:\bid\b|#)" + IS + NUMBER),
    ("phi_ID", r"(?i)\b[A-Z]{2}\d{2}[A-Z]{4}\d{10,}\b"),
    ("phi_ID", r"(?i)\b(?:account|acct|licen[sc]e|certificate|dea|npi|device|serial|accession|vin|"
               r"encounter)\.?" + IS + r"(?P<value>" + NUMBER + r")"),
    ("phi_ID", r"\b[A-Z]{2,4}-\d{5,9}\b"),
    ("phi_ID", r"\b\d{7,}\b"),
    ("phi_DATE", r"\b\d{1,2}[/.-]\d{1,2}[/.-](?:\d{4}|\d{2})\b"),
    ("phi_DATE", r"\b(?:19|20)\d{2}[/.-]\d{1,2}[/.-]\d{1,2}(?:[ T]\d{1,2}:\d{2}(?::\d{2})?)?\b"),
    ("phi_DATE", r"\b" + MONTH + r"\s+\d{1,2}(?:st|nd|rd|th)?(?:,?\s+(?:(?:19|20)\d{2}|'\d{2}))?\b"),
    ("phi_DATE", r"\b" + MONTH + r",?\s+(?:of\s+)?(?:(?:19|20)\d{2}\b|'\d{2}\b)"),
    ("phi_DATE", r"\b\d{1,2}(?:st|nd|rd|th)?(?:\s+of\s+|[\s-]+)" + MONTH
                 + r"(?:,?[\s-]+(?:(?:19|20)\d{2}|'?\d{2})\b)?"),
    ("phi_LOCATION", r"\b\d{1,5}\s+(?:[NSEW]\.?\s+)?(?:[A-Z][A-Za-z'.-]+\s+){1,3}" + STREET
                     + r"(?:,?\s+(?:Apt|Suite|Unit|Ste|#)\.?\s*\w+)?(?:,\s*[A-Z][a-z]+(?:\s[A-Z][a-z]+)*)?"
                     r"(?:,\s*[A-Z]{2}\b)?(?:,?\s+\d{5}(?:-\d{4})?\b)?"),
    ("phi_LOCATION", r"\b[A-Z]{2},?\s+\d{5}(?:-\d{4})?\b"),
    ("phi_LOCATION", r"\b[A-Z][a-z]+(?: [A-Z][a-z]+)?, ?(?:" + STATES + r")\b"),
    ("phi_LOCATION", r"\b(?:[A-Z][A-Za-z'.-]+\s+){1,4}(?:Hospital|Clinic|Medical Center|Med Center|"
                     r"Med Ctr|Health Center|Cancer Center|Medical Centre|Family Practice|Infirmary|"
                     r"Hospice|Nursing Home|Rehab(?:ilitation)? Center)\b"
                     r"(?:(?: in|,) [A-Z][a-z]+(?: [A-Z][a-z]+)?(?:, [A-Z]{2}\b)?)?"),
    ("phi_NAME", r"\b(?:Dr|Mr|Mrs|Ms|Miss|Prof)\b\.?\s+(?:[A-Z]\.\s+)?[A-Z][A-Za-z'-]+"
                 r"(?:\s+[A-Z]\.)?(?:\s+[A-Z][a-z'-]+)?"),
    ("phi_NAME", r"(?m)^\s*(?:Patient(?: [Nn]ame)?|Name|Pt|PATIENT|NAME|Provider|Attending|PCP|"
                 r"Surgeon|"
                 r"(?:Emergency )?[Cc]ontact|Next of kin|Guardian|(?:Dictated|(?:Electronically )?[Ss]igned) by)"
                 r"\s*:\s*(?P<value>[A-Z][A-Za-z'-]+,?(?: [A-Z][A-Za-z'.-]*){0,3})"),
    ("phi_NAME", r"\b(?P<value>[A-Z][a-z'-]+(?: [A-Z]\.?)? [A-Z][A-Za-z'-]+) is an? (?:[a-z]+,? ){0,3}"
                 r"\d{1,3}[ -](?:years?|months?|yo)\b"),
    ("phi_NAME", r"\b[A-Z][a-z'-]+(?: [A-Z]\.?)? [A-Z][a-z'-]+, (?:MD|M\.D\.|DO|RN|NP|PA-C|PhD)\b"),
    ("phi_AGE_OVER_89", r"(?i)\b(?P<value>9\d|1[01]\d)(?:\s*-?\s*)(?:years?|yrs?|yo|y/o|y\.o\.)"),
    ("phi_AGE_OVER_89", r"(?i)\b(?:age|aged)[:\s]+(?P<value>9\d|1[01]\d)\b"),
)
COMPILED = tuple((label, re.compile(pattern)) for label, pattern in RULES)


def find(text):
    """All matches of all rules, overlapping ones too, by start."""
    spans = set()
    for label, pattern in COMPILED:
        for match in pattern.finditer(text):
            group = "value" if "value" in pattern.groupindex else 0
            spans.add((label, *match.span(group)))
    return sorted(spans, key=lambda s: (s[1], s[2], s[0]))
