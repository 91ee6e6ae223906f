"""Which statements may train: which lead, through the script's own functions, to a ``backward()``."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field

from torchlift_convert.diagnostics import Refuse
from torchlift_convert.folding import live_nodes
from torchlift_convert.following import bind_call
from torchlift_convert.kept import walk
from torchlift_convert.names import own_nodes
from torchlift_convert.program import Frame, Program
from torchlift_convert.syntax import is_backward, nodes_of


@dataclass(eq=False)
class Reach:
    """``functions``: names of the script's functions that reach a ``backward()``."""

    program: Program
    functions: set[str] = field(default_factory=set)
    _asking: list[ast.AST] = field(default_factory=list)  # functions whose calls are being looked at

    def __post_init__(self) -> None:
        functions = [n for n in walk(self.program.script.tree) if isinstance(n, ast.FunctionDef)]
        changed = True
        while changed:
            changed = False
            for func in functions:
                names = self.program.called_by(func)
                if not names <= self.functions and self._body_reaches(own_nodes(func)):
                    self.functions |= names
                    changed = True

    def _body_reaches(self, nodes: Iterable[ast.AST]) -> bool:
        return any(is_backward(n) or self.leads(n) for n in nodes)

    def leads(self, node: ast.AST) -> bool:
        """Is this a call of such a function, or one that is handed such a function?"""
        if not isinstance(node, ast.Call):
            return False
        names = [a.id for a in node.args if isinstance(a, ast.Name)]
        if isinstance(node.func, ast.Name):
            names.append(node.func.id)
        return any(n in self.functions for n in names)

    def trains(self, stmt: ast.stmt, frame: Frame) -> bool:
        """May the statement train, as far as the values written in the code tell?"""
        nodes = live_nodes(stmt, frame)
        return any(is_backward(n) or (self.leads(n) and not self._is_idle(n, frame)) for n in nodes)

    def _is_idle(self, call: ast.AST, frame: Frame) -> bool:
        """Is it known from the constants of a call, as ``run(loader, training=False)``, that it does not train?"""
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            return False
        target = frame.function(call.func.id)
        if target is None or target[0] is frame.scope or target[0] in self._asking:
            return False
        try:
            inner, _ = bind_call(call, frame, *target)
        except Refuse:
            return False
        if not any(isinstance(b.expr, ast.Constant) for b in inner.bound.values()):
            return False
        self._asking.append(target[0])
        idle = not any(self.trains(s, inner) for s in target[0].body)
        self._asking.pop()
        return idle

    def call_of(self, stmt: ast.stmt) -> ast.Call | None:
        """The call in a small statement that leads towards a ``backward()``."""
        if isinstance(stmt, (ast.For, ast.While, ast.If, ast.With, ast.Try)):
            return None
        calls = [
            n for n in nodes_of(stmt) if self.leads(n) and isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
        ]
        calls = [c for c in calls if c.func.id in self.functions]  # type: ignore[attr-defined]
        return calls[0] if len(calls) == 1 else None
