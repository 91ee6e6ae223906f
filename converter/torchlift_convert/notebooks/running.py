"""A notebook as a script that Python runs without IPython: no magics, and what a cell displays is printed."""

from __future__ import annotations

import ast
import re

from torchlift_convert.notebooks.cells import Part, parts_of
from torchlift_convert.notebooks.document import Notebook
from torchlift_convert.notebooks.flat import heading
from torchlift_convert.notebooks.magics import Kind

# Addresses in what an object says of itself differ from run to run.
SHOW = """
def torchlift_show(*values, **options):
    import re

    for value in values:
        if value is not None:
            print(re.sub(r"0x[0-9a-fA-F]+", "0x", repr(value)))
"""

SHELL = """
class get_ipython:
    def __getattr__(self, name):
        return lambda *values, **options: None
"""


def script_of(notebook: Notebook) -> str:
    """The cells of a notebook one after the other, magics as comments."""
    features: list[str] = []
    body: list[str] = []
    for cell in notebook.cells:
        lines: list[str] = []
        for part in parts_of(cell.source):
            lines += part.lines if part.magic is None else _without(part, features)
        body += [heading(cell.number), _displaying("\n".join(lines)), ""]
    text = "\n".join(body)
    head = [*features, SHOW]
    if re.search(r"\bdisplay\b", text):
        head.append("display = torchlift_show")
    if "get_ipython" in text:
        head.append(SHELL)
    return "\n".join([*head, text])


def _without(part: Part, features: list[str]) -> list[str]:
    """What stands where a magic stood."""
    magic = part.magic
    assert magic is not None
    if magic.kind is Kind.TIMED:
        return [part.indent + magic.code]
    if magic.text.startswith("from __future__"):
        features.append(magic.text)
        return []
    said = [f"# {line}" for line in magic.text.split("\n")]
    if magic.head:
        return said
    return [f"{part.indent}{magic.targets} = []" if magic.targets else f"{part.indent}pass", *said]


def _displaying(source: str) -> str:
    """A cell that prints what it would display: the value of an expression at its end."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return source
    last = tree.body[-1] if tree.body else None
    lines = [line.encode() for line in source.split("\n")]
    if not isinstance(last, ast.Expr) or last.end_lineno is None or last.end_col_offset is None:
        return source
    rest = lines[last.end_lineno - 1][last.end_col_offset :].strip()
    if rest.lstrip(b") ").startswith(b";") or isinstance(last.value, ast.Starred):
        return source
    end = lines[last.end_lineno - 1]
    lines[last.end_lineno - 1] = end[: last.end_col_offset] + b")" + end[last.end_col_offset :]
    start = lines[last.lineno - 1]
    lines[last.lineno - 1] = start[: last.col_offset] + b"torchlift_show(" + start[last.col_offset :]
    return b"\n".join(lines).decode()
