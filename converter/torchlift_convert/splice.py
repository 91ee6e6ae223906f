"""Put new statements into the compound statements around the ones that they replace."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence, Set

import libcst as cst

from torchlift_convert.rewrite import Origins
from torchlift_convert.syntax import Script


class Splice(cst.CSTTransformer):
    """Replaces statements by lists of statements, by identity.

    ``own``: ids of the user's own statements; one that is rebuilt around a replacement stays the user's own.
    ``changed``: what becomes of exception handlers, by id. ``unwrapped``: ids of ``with`` statements of which only what
    stands in them is left.
    """

    def __init__(
        self,
        script: Script,
        written: Mapping[ast.stmt, Sequence[cst.BaseStatement]],
        origins: Origins,
        own: set[int],
        changed: Mapping[int, Callable[[cst.ExceptHandler], cst.ExceptHandler]],
        unwrapped: Set[int] = frozenset(),
    ) -> None:
        super().__init__()
        self.unwrapped = unwrapped
        self.written, self.origins, self.own, self.changed = written, origins, own, changed
        self.by_id: dict[int, list[ast.stmt]] = {}
        for stmt in written:
            line = script.line.get(stmt)
            self.by_id.setdefault(id(line if line is not None else script.node[stmt]), []).append(stmt)

    def on_visit(self, node: cst.CSTNode) -> bool:
        return id(node) not in self.by_id

    def on_leave(self, original: cst.CSTNode, updated: cst.CSTNode) -> object:  # type: ignore[override]
        stmts = self.by_id.get(id(original))
        if stmts is None:
            self.origins.relabel(original, updated)
            if id(original) in self.own:
                self.own.add(id(updated))
            if id(original) in self.unwrapped:
                return _inside(cst.ensure_type(updated, cst.With))
            change = self.changed.get(id(original))
            return change(updated) if change is not None and isinstance(updated, cst.ExceptHandler) else updated
        nodes = [n for s in stmts for n in self.written[s]]
        return cst.FlattenSentinel(nodes) if nodes else cst.RemoveFromParent()


def _inside(stmt: cst.With) -> cst.FlattenSentinel[cst.BaseStatement]:
    """The statements of a ``with``, the comments above it and on its line on top."""
    block = cst.ensure_type(stmt.body, cst.IndentedBlock)
    first, *rest = block.body
    said = [cst.EmptyLine(comment=block.header.comment)] if block.header.comment is not None else []
    lead = [*stmt.leading_lines, *said, *getattr(first, "leading_lines", ())]
    return cst.FlattenSentinel([first.with_changes(leading_lines=lead), *rest])
