"""Writes plain data as YAML, so that hyperparameter files need no YAML library.

Only writing, and only what YAML's safe schema can hold: dictionaries, lists, strings, numbers, booleans and null. What
is written reads back equal with ``yaml.safe_load`` (YAML 1.1, as PyYAML reads it) and with YAML 1.2 parsers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

# Plain (unquoted) only where no parser could take it for anything but a string.
_PLAIN = re.compile(r"[A-Za-z_./][\w./=+-]*( [\w./=+-]+)*", re.ASCII)
_NOT_STRINGS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"}


def is_plain(value: Any) -> bool:
    """Whether ``value`` is of the types that :func:`dump` writes, all the way down."""
    if isinstance(value, Mapping):
        return all(isinstance(key, str | int) and is_plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def dump(value: Any) -> str:
    """``value`` as a YAML document in block style, keys sorted; tuples become lists.

    Raises:
        TypeError: a value is not plain, see :func:`is_plain`.
    """
    return "\n".join(_lines(value)) + "\n"


def _lines(value: Any) -> list[str]:
    if isinstance(value, Mapping) and value:
        return [line for key in sorted(value, key=str) for line in _entry(f"{_scalar(key)}:", value[key], "  ")]
    if isinstance(value, list | tuple) and value:
        return [line for item in value for line in _item(item)]
    return [_scalar(value)]


def _entry(head: str, value: Any, indent: str) -> list[str]:
    lines = _lines(value)
    if not _is_block(value):
        return [f"{head} {lines[0]}"]
    # PyYAML writes the items of a list at the depth of its key
    indent = indent if isinstance(value, Mapping) else ""
    return [head, *(indent + line for line in lines)]


def _item(value: Any) -> list[str]:
    first, *rest = _lines(value)
    return [f"- {first}", *(f"  {line}" for line in rest)]


def _is_block(value: Any) -> bool:
    return isinstance(value, Mapping | Sequence) and not isinstance(value, str) and len(value) > 0


def _scalar(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int():
            return int.__repr__(value)
        case float():
            return _float(float(value))
        case str():
            return value if _PLAIN.fullmatch(value) and value.lower() not in _NOT_STRINGS else _quoted(value)
        case Mapping():
            return "{}"
        case list() | tuple():
            return "[]"
    raise TypeError(f"{type(value).__qualname__} cannot be written as plain YAML")


def _float(value: float) -> str:
    if not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    mantissa, exponent, power = repr(value).partition("e")
    if not exponent:
        return mantissa
    # YAML 1.1 takes "1e-05" for a string: it wants the dot and the sign
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{power if power[0] in '+-' else '+' + power}"


def _quoted(text: str) -> str:
    """Double-quoted, with everything but printable ASCII written as an escape."""
    return '"' + "".join(_escape(character) for character in text) + '"'


def _escape(character: str) -> str:
    code = ord(character)
    if character in '"\\':
        return "\\" + character
    if 32 <= code < 127:
        return character
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
