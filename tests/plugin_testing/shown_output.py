"""Whether two printed texts say the same, on another machine and at another time."""

import math
import re

NUMBER = re.compile(r"(?<![\w.-])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w.]*\w)")
_OF_ONE_RUN = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?|\b\d+(\.\d+)? ?(s|GB)\b|\b\d+:\d\d\b")
_LINES = re.compile(r"[━─═]+")


def difference(old: str, new: str) -> str | None:
    """How two texts differ in words, or in numbers by more than rounding and another machine's arithmetic; else None.

    Times of day, durations and a machine's memory may differ, and so may blanks and the length of ruled lines.
    """
    old, new = (_LINES.sub("─", _OF_ONE_RUN.sub("(time)", text)) for text in (old, new))
    words = [" ".join(NUMBER.sub("#", text).split()) for text in (old, new)]
    if words[0] != words[1]:
        return f"{words[0]!r} is now {words[1]!r}"
    numbers = ([float(number) for number in NUMBER.findall(text)] for text in (old, new))
    changed = [pair for pair in zip(*numbers, strict=True) if not math.isclose(*pair, rel_tol=0.01, abs_tol=0.0025)]
    return f"{changed[0][0]} is now {changed[0][1]}" if changed else None
