"""Where windows stand, and which of them owns a token (specified in DECODER.md)."""

from bisect import bisect_right


def over(count, content, stride, ends=()):
    """(start, end, first, last) of the windows over `count` tokens: start..end are read, and
    first..last take their scores from there.

    A window ends at the last of the sentence ends `ends` that lies in its later half, and the next
    one begins there. Without one it is full and the next begins `stride` tokens after its start; a
    token that both hold goes to the window in which it lies farthest from an edge, the earlier one
    if equal."""
    places, start, first = [], 0, 0
    while start + content < count:
        end = start + content
        at = bisect_right(ends, end) - 1
        if at >= 0 and ends[at] > start + content // 2:
            following = end = last = ends[at]
        else:
            following = start + stride
            # Token t has end-1-t tokens after it here and t-following before it in the next window.
            last = (end - 1 + following) // 2 + 1
        places.append((start, end, first, last))
        start, first = following, last
    return [*places, (start, count, first, count)] if count else []
