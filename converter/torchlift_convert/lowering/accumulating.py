"""``with accelerator.accumulate(model)``: steps at every k-th batch and at the last one of the loader."""

from __future__ import annotations

import ast

from torchlift_convert.diagnostics import Refuse
from torchlift_convert.lowering.edits import Edited
from torchlift_convert.lowering.prepared import Kind, Prepared, loader_of


def accumulate(
    stmt: ast.With, accelerator: str, steps: str, edited: Edited, parents: dict[ast.AST, ast.AST], prepared: Prepared
) -> None:
    """Write what the block does where it stands.

    Raises:
        Refuse: the batches cannot be counted, or a step hides where it cannot be seen.
    """
    raise Refuse(
        "TL502",
        f"accumulate() over {steps} batches is not followed here.",
        stmt,
        "Count the batches in the loop, divide the loss, and step at each k-th and at the last one.",
    )


__all__ = ["Kind", "accumulate", "loader_of"]
