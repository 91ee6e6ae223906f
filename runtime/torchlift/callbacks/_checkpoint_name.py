"""File names of checkpoints, made from a template and the metrics of the moment. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from string import Formatter
from typing import Any


def format_name(template: str, metrics: Mapping[str, Any], insert_names: bool, join: str, equals: str) -> str:
    """Fill ``template`` in: ``"{epoch:02d}-{val_loss:.2f}"`` gives ``"epoch=02-val_loss=0.31"``.

    Args:
        template: may be empty, which means ``"{epoch}-{step}"``. A field is a metric's name, taken as it is (dots
            and slashes are part of it and reach no attribute of the value), with a format specification.
        metrics: values by name; a name that is missing stands for 0.
        insert_names: put ``name=`` before each value.
        join, equals: what stands between the default fields, and between a name and its value.

    Raises:
        ValueError: the template's braces do not match, or a specification does not fit the value.
    """
    template = template or f"{{epoch}}{join}{{step}}"
    parts: list[str] = []
    for literal, name, specification, _ in Formatter().parse(template):
        parts.append(literal)
        if name is not None:
            parts.append(f"{name}{equals}" if insert_names else "")
            parts.append(format(metrics.get(name, 0), specification or ""))
    return "".join(parts)


def first_free(name: Callable[[int | None], str], taken: Callable[[str], bool], start: int) -> str:
    """The first of ``name(None)``, ``name(start)``, ``name(start + 1)``, ... that is not ``taken``."""
    path, version = name(None), start
    while taken(path):
        path, version = name(version), version + 1
    return path
