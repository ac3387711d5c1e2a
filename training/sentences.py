"""Sentence boundaries by plain character rules (specified in DECODER.md)."""

# Unicode White_Space, spelled out so that every implementation agrees.
WHITESPACE = frozenset(
    chr(c)
    for c in [*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B),
              0x2028, 0x2029, 0x202F, 0x205F, 0x3000]
)
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
    n = len(text)
    i = 0
    while i < n:
        if text[i] not in WHITESPACE:
            i += 1
            continue
        run = i
        newlines = 0
        page = False
        while i < n and text[i] in WHITESPACE:
            if text[i] == "\n":
                newlines += 1
            elif text[i] == "\x0c":
                page = True
            i += 1
        if run == 0 or i == n:
            continue
        last = run - 1
        while last > 0 and text[last] in CLOSERS:
            last -= 1
        if newlines >= 2 or page:
            if not announces(text, last):
                found.append(i)
        elif text[last] in ".?!":
            if is_sentence_end(text, last, text[i]):
                found.append(i)
    return found
