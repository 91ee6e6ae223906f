"""Lines of a loop, with holes that the user's statements fill."""

from __future__ import annotations

from dataclasses import dataclass, field

import libcst as cst

from torchlift_convert.eject.rewriting import Statements


@dataclass(eq=False)
class Text:
    """Lines of a loop, with holes that the user's statements fill."""

    lines: list[str] = field(default_factory=list)
    filled: dict[str, Statements] = field(default_factory=dict)
    depth: int = 0

    def add(self, *lines: str) -> None:
        self.lines += ["    " * self.depth + line for line in lines]

    def fill(self, nodes: Statements) -> bool:
        if nodes:
            name = f"__hole_{len(self.filled)}__"
            self.filled[name] = nodes
            self.add(name)
        return bool(nodes)

    def statements(self) -> Statements:
        module = cst.parse_module("\n".join(self.lines) + "\n")
        new = module.visit(_Fill(self.filled))
        assert isinstance(new, cst.Module)
        return list(new.body)


class _Fill(cst.CSTTransformer):
    def __init__(self, filled: dict[str, Statements]) -> None:
        super().__init__()
        self.filled = filled

    def leave_SimpleStatementLine(self, original: cst.SimpleStatementLine, updated: cst.SimpleStatementLine) -> object:  # type: ignore[override]
        match original.body:
            case [cst.Expr(value=cst.Name(value=name))] if name in self.filled:
                nodes = self.filled[name]
                first = nodes[0]
                lines = [*updated.leading_lines, *first.leading_lines]  # type: ignore[attr-defined]
                return cst.FlattenSentinel([first.with_changes(leading_lines=lines), *nodes[1:]])
        return updated
