"""The records of an ejection."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from torchlift_convert.names import parameters

Function = ast.FunctionDef


@dataclass(frozen=True, eq=False)
class Class:
    """A LightningModule or LightningDataModule of the script."""

    node: ast.ClassDef
    is_data: bool

    @property
    def methods(self) -> dict[str, Function]:
        return {p.name: p for p in self.node.body if isinstance(p, ast.FunctionDef)}

    @property
    def init(self) -> Function | None:
        return self.methods.get("__init__")

    def properties(self) -> dict[str, ast.expr]:
        """Properties that are one expression: a reader may put it in their place."""
        found = {}
        for name, method in self.methods.items():
            names = [d.id for d in method.decorator_list if isinstance(d, ast.Name)]
            body = [s for s in method.body if not _is_text(s)]
            if names == ["property"] and len(body) == 1 and isinstance(body[0], ast.Return) and body[0].value:
                found[name] = body[0].value
        return found


def receiver(method: Function) -> str:
    """What a method calls the object: 'self'."""
    names = parameters(method.args)
    return names[0] if names else "self"


def _is_text(stmt: ast.stmt) -> bool:
    return isinstance(stmt, ast.Expr) and isinstance(stmt.value, ast.Constant) and isinstance(stmt.value.value, str)


@dataclass(frozen=True, eq=False)
class TrainerCall:
    """``Trainer(...)`` and the statement that holds it, None where it stands inside the entry call."""

    call: ast.Call
    stmt: ast.Assign | None
    name: str

    def option(self, name: str) -> ast.expr | None:
        return next((k.value for k in self.call.keywords if k.arg == name), None)


@dataclass(frozen=True, eq=False)
class Entry:
    """``trainer.fit(...)``, ``validate``, ``test`` or ``predict``.

    ``model`` and ``data`` are the variables at the call; where one is made inside the call, ``made`` holds the name
    that it gets and the expression.
    """

    kind: str
    stmt: ast.stmt
    call: ast.Call
    scope: ast.Module | Function
    trainer: TrainerCall
    module: Class
    model: str
    datamodule: Class | None = None
    data: str = ""
    made: tuple[tuple[str, ast.expr], ...] = ()
    loaders: dict[str, ast.expr] = field(default_factory=dict)  # by stage: given at the call


@dataclass(frozen=True, eq=False)
class Metric:
    """One name that is logged. ``mean``: reduced over the batches; else the last value counts."""

    name: str
    variable: str
    mean: bool
    shown: bool
