"""Sentence boundaries by plain character rules (specified in DECODER.md)."""

import re

# Unicode White_Space, spelled out so that every implementation agrees.
WHITESPACE = frozenset(
    chr(c)
    for c in [*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B),
              0x2028, 0x2029, 0x202F, 0x205F, 0x3000]
)
RUN = re.compile(f"[{''.join(sorted(WHITESPACE))}]+")
CLOSERS = frozenset("\"')]}\u201d\u2019\u00bb")
DIGITS = frozenset("0123456789")
LOWER = frozenset("abcdefghijklmnopqrstuvwxyz")
LETTERS = LOWER | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
ABBREVIATIONS = frozenset(
    "inc ltd co corp llc lp no nos mr mrs ms dr st sec art ex vs v al etc cf approx dept est fig "
    "jr sr para par pp pty gmbh bros ave blvd jan feb mar apr jun jul aug sep sept oct nov dec "
    "attn tel fax ref vol rev ed".split()
)


def word_before(text, end):
    """The run of non-whitespace characters that ends just before `end`."""
    start = end
    while start > 0 and text[start - 1] not in WHITESPACE:
        start -= 1
    return text[start:end]


def is_sentence_end(text, dot, next_char):
    """Whether the '.', '?' or '!' at index `dot` ends a sentence."""
    if next_char in LOWER:
        return False
    if text[dot] != ".":
        return True
    word = word_before(text, dot)
    # "1." or "3.2." numbers the sentence that follows it.
    if all(c in DIGITS or c in ".()" for c in word):
        return False
    start = len(word)
    while start > 0 and word[start - 1] in LETTERS:
        start -= 1
    tail = word[start:]
    # "J." or "U.S." is an initial; a lone letter that is a list mark numbers what follows.
    if len(tail) == 1:
        return False
    return tail.lower() not in ABBREVIATIONS


def announces(text, last):
    """Whether the text up to index `last` plainly goes on: the lead-in of a list, or an item of it
    that names the next."""
    if text[last] in ":,":
        return True
    start = last + 1
    while start > 0 and text[start - 1] in LETTERS:
        start -= 1
    return text[start : last + 1].lower() in ("and", "or")


def breaks(text):
    """Positions at which a sentence starts, each the first character after whitespace."""
    found = []
    for run in RUN.finditer(text):
        start, following = run.span()
        if start == 0 or following == len(text):
            continue
        last = start - 1
        while last > 0 and text[last] in CLOSERS:
            last -= 1
        if run.group().count("\n") >= 2 or "\x0c" in run.group():
            if not announces(text, last):
                found.append(following)
        elif text[last] in ".?!" and is_sentence_end(text, last, text[following]):
            found.append(following)
    return found


def token_ranges(text, starts):
    """(first, last) token ranges of the sentences that hold a token, `last` exclusive."""
    limits = breaks(text)
    ranges, first, at = [], 0, 0
    for i, start in enumerate(starts):
        crossed = False
        while at < len(limits) and limits[at] <= start:
            at += 1
            crossed = True
        if crossed and i > first:
            ranges.append((first, i))
            first = i
    if len(starts) > first:
        ranges.append((first, len(starts)))
    return ranges
