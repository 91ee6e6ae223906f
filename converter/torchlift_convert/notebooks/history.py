"""What a notebook knows of the order in which its cells ran: IPython's records, and the counts in its file."""

from __future__ import annotations

import ast
import itertools
import re

from torchlift_convert.names import access
from torchlift_convert.notebooks.document import Notebook
from torchlift_convert.notebooks.flat import Flat
from torchlift_convert.types import Diagnostic, Result, Severity, Span, Status

_RECORD = re.compile(r"In|Out|_|__|___|_i|_ii|_iii|_ih|_oh|_i?\d+")


def reads_history(flat: Flat) -> Result | None:
    """A refusal where the notebook reads the results of cells by their numbers, which may change."""
    tree = ast.parse(flat.text)
    bound = frozenset[str]().union(*(access(s).binds for s in tree.body))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Load) or node.id in bound:
            continue
        if _RECORD.fullmatch(node.id) and not _binds_somewhere(tree, node.id):
            said = Diagnostic(
                "TL120",
                Severity.REFUSAL,
                f"{node.id} is what an earlier cell has shown, and cells may come or go in the conversion.",
                Span(node.lineno, node.lineno),
                "Give the value a name in the cell that makes it.",
            )
            return Result(Status.REFUSED, diagnostics=(said,))
    return None


def _binds_somewhere(tree: ast.Module, name: str) -> bool:
    stores = (n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load))
    return name in stores or name in (n.arg for n in ast.walk(tree) if isinstance(n, ast.arg))


def order_of(notebook: Notebook) -> str:
    """In which order the cells are taken to run, and whether the file says that they ran in another one."""
    taken = "taken to run from the first to the last, each once"
    ran = [cell for cell in notebook.cells if isinstance(cell.count, int)]
    for before, after in itertools.pairwise(ran):
        if before.count is not None and after.count is not None and after.count < before.count:
            return f"{taken}; when the file was saved, cell {after.number} had run before cell {before.number}"
    return taken
