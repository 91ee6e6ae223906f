"""What counts as a duration or a clock in a printed line, a text file or a file's name: these patterns and no other.

Two runs never take the same time, so what they say about time cannot be compared. Everything else on the line is.
A line with a masked part is compared with its runs of blanks collapsed, because columns shift with the digits, and
durations that follow each other count as one, because "1m 2s" may be "58s" the next time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

TOKEN = "<time>"
_N = r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
_UNIT = r"(?:ns|us|µs|ms|s|secs?|seconds?)"
_LONG = r"(?:mins?|minutes?|h|hrs?|hours?|days?)"
_THING = r"(?:it|iter|iteration|batch|step|epoch|sample|example|image|img|token|word)(?:s|es)?"


@dataclass(frozen=True, slots=True)
class Mask:
    name: str
    pattern: re.Pattern[str]
    example: str


def _mask(name: str, pattern: str, example: str) -> Mask:
    return Mask(name, re.compile(pattern), example)


# In the order in which they are applied: the longer forms first.
MASKS = (
    _mask(
        "date and time as in ctime",
        r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? (?:[A-Z][a-z]{2} +\d{1,2}|\d{1,2} [A-Z][a-z]{2}),? (?:\d{4} )?"
        r"\d\d:\d\d:\d\d(?: \d{4})?",
        "Fri Nov 22 22:14:10 2024",
    ),
    _mask(
        "date, with or without a time",
        r"\b\d{4}[-/]\d\d[-/]\d\d(?:[ T_-]+\d\d[:_-]?\d\d(?:[:_-]?\d\d(?:[.,]\d+)?)?)?(?!\d)",
        "2024-11-22 22:14:10,123",
    ),
    _mask("date and time in a name", r"(?<!\d)20\d{6}[-_T]?\d{4}(?:\d\d)?(?!\d)", "20241122-221410"),
    _mask(
        "date and time of a writer's folder", r"[A-Z][a-z]{2}\d\d_\d\d-\d\d-\d\d(?:_[\w.-]+)?", "Nov22_22-14-10_host"
    ),
    _mask("clock or timedelta", r"(?<![\d:.])\d{1,3}:\d\d:\d\d(?:[.,]\d+)?(?![\d:])", "0:00:12.345678"),
    _mask("minutes and seconds on a clock", r"(?<![\d:.])\d\d:\d\d(?:\.\d+)?(?![\d:])", "02:13"),
    _mask(
        "the meters of the ImageNet example",
        rf"\bTime\s+{_N}\s+\(\s*{_N}\)\s+Data\s+{_N}\s+\(\s*{_N}\)",
        "Time  0.061 ( 0.064)\tData  0.000 ( 0.001)",
    ),
    _mask(
        "a word for time, speed or a rate, then a number",
        r"\b(?:(?i:[a-z_]*time|elapsed|duration|took|takes|eta|runtime|throughput|speed|fps)|dt|"
        rf"(?:ms|s|sec|secs|seconds)/{_THING}|{_THING}/(?:s|sec|second))"
        rf"(?:\s?\([a-z/ ]+\))?[\s:=]*{_N}(?:\s+\(\s*{_N}\))?(?:\s?(?:{_UNIT}|{_LONG})\b)?",
        "elapsed: 12.5",
    ),
    _mask("compound duration", rf"(?<![\w.])(?:{_N}\s?(?:days?|D|d|h|m|min|s|ms)\s?){{2,}}(?![A-Za-z0-9])", "1m 30s"),
    _mask("rate", rf"(?<![\w.]){_N}\s?[A-Za-z]*/(?:s|sec|second)\b", "3.4 it/s"),
    _mask("duration", rf"(?<![\w.]){_N}\s?{_UNIT}(?:/{_THING})?(?![\w/])", "1.23s"),
    _mask("long duration", rf"(?<![\w.]){_N}\s?{_LONG}(?![\w/])(?!\s*[:=]?\s*-?\d)", "2.5 min"),
)


def masked(text: str) -> str:
    """The text with every duration and clock replaced by `<time>`.

    >>> masked("epoch 3 loss 0.25   1.23s")
    'epoch 3 loss 0.25<time>'
    """
    result = text
    for mask in MASKS:
        result = mask.pattern.sub(TOKEN, result)
    if result == text:
        return text.rstrip()
    return re.sub(r"\s+", " ", re.sub(rf"\s*(?:{TOKEN}\s*)+", TOKEN, result)).rstrip()


def masked_lines(text: str) -> list[str]:
    return [masked(line) for line in text.splitlines()]
