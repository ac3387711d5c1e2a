"""A smaller WordPiece vocabulary: the special tokens, single characters, the pieces that given
texts use, and the most frequent ones of the base (whose ids run by frequency)."""

import copy

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def is_character(piece):
    """A single character, alone or continuing a word, of Latin script, or a sign."""
    piece = piece.removeprefix("##")
    return len(piece) == 1 and (ord(piece) < 0x250 or 0x2000 <= ord(piece) < 0x2300)


def prune(content, used, frequent):
    """(content of tokenizer.json, ids of the base that are kept, rising).

    content: the base's tokenizer.json; used: ids that must stay; frequent: how many of the most
    frequent pieces stay.
    """
    vocabulary = content["model"]["vocab"]
    by_id = sorted(vocabulary, key=vocabulary.get)
    common = [p for p in by_id if p not in SPECIAL and not p.startswith("[unused")
              and len(p.removeprefix("##")) > 1][:frequent]
    keep = {p for p in by_id if p in SPECIAL or is_character(p)} | {by_id[i] for i in used} | set(common)
    rows = sorted(vocabulary[piece] for piece in keep)
    new = {by_id[row]: i for i, row in enumerate(rows)}
    content = copy.deepcopy(content)
    content["model"]["vocab"] = new
    for token in content["added_tokens"]:
        token["id"] = new[token["content"]]
    for token in content["post_processor"]["special_tokens"].values():
        token["ids"] = [new[name] for name in token["tokens"]]
    return content, rows
