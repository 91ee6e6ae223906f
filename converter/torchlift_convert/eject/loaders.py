"""Loaders that a ``for`` goes over as a Trainer does: one, with a length, made before anything else draws."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from torchlift_convert.diagnostics import Refuse
from torchlift_convert.effects import Judge
from torchlift_convert.eject.find import statements_in
from torchlift_convert.eject.records import Class, Entry, Function
from torchlift_convert.program import Frame, Program, dotted

LOADERS = ("torch.utils.data.DataLoader", "torch.utils.data.dataloader.DataLoader")
# Methods that draw no random numbers, whatever they are called on, beyond those that are quiet anywhere.
_QUIET = frozenset("log log_dict print optimizers lr_schedulers reset zero_grad train eval state_dict clear".split())


def check_loaders(entry: Entry, stages: list[str], program: Program) -> None:
    """Every stage has one loader with a length.

    Raises:
        Refuse: where batches come from cannot be told, or they would come in another order.
    """
    for node in ast.walk(program.script.tree):
        name = dotted(node) if isinstance(node, (ast.Name, ast.Attribute)) else None
        if name is not None and name.rpartition(".")[2] == "IterableDataset":
            assert isinstance(node, ast.expr)
            raise _refusal(node, "Data without a length is taken one batch ahead by the Trainer.")
    maker = _Maker(program)
    for stage in stages:
        given = entry.loaders.get(stage)
        if given is not None:
            maker.check(given, entry.scope, None)
            continue
        cls = entry.datamodule or entry.module
        method = cls.methods.get(f"{'val' if stage == 'validation' else stage}_dataloader")
        if method is None:
            raise _refusal(entry.call, f"There is no {stage} loader.")
        answers = [s.value for s in statements_in(method) if isinstance(s, ast.Return) and s.value is not None]
        if not answers:
            raise _refusal(method, f"{method.name} returns no loader.")
        for answer in answers:
            maker.check(answer, method, cls)
        if stage == "validation" and _draws(method, program):
            raise _refusal(method, "Making the validation loader draws random numbers, after the first batches have.")


def check_draws(entry: Entry, program: Program) -> None:
    """Refuse random draws between the making of the first iterator and its first batch."""
    for name in ("on_train_start", "on_train_epoch_start"):
        hook = entry.module.methods.get(name)
        found = _draws(hook, program) if hook is not None else None
        if found is not None:
            raise _refusal(
                found, f"'{ast.unparse(found)}' may draw random numbers where the Trainer has begun with its loader."
            )


def _refusal(node: ast.stmt | ast.expr, why: str) -> Refuse:
    return Refuse("TL811", why, node, "Give the Trainer one DataLoader for each stage, made in this script.")


def _draws(method: Function, program: Program) -> ast.Call | None:
    """A call in a method that may draw random numbers."""
    judge, frame = Judge(program), Frame(method, program.module)
    for node in ast.walk(method):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute) and node.func.attr in _QUIET:
                continue
            if program.canonical(node.func, program.module) in LOADERS:
                continue
            if judge.of_call(node, frame).draws:
                return node
    return None


class _Maker:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.tree = program.script.tree

    def check(self, expr: ast.expr, scope: ast.Module | Function, cls: Class | None, depth: int = 0) -> None:
        if isinstance(expr, ast.IfExp):
            self.check(expr.body, scope, cls, depth)
            self.check(expr.orelse, scope, cls, depth)
            return
        if depth < 8 and isinstance(expr, ast.Call):
            if self.program.canonical(expr.func, self.program.module) in LOADERS:
                return
            if isinstance(expr.func, ast.Name) and self._from_script(expr.func.id, None, depth):
                return
            path = dotted(expr.func) or ""
            if cls is not None and path.startswith("self.") and path[5:] in cls.methods:
                method = cls.methods[path[5:]]
                for answer in _answers(method):
                    self.check(answer, method, cls, depth + 1)
                return
        if depth < 8 and isinstance(expr, (ast.Name, ast.Attribute)):
            found = list(self._values(expr, scope, cls))
            if found:
                for value, where, index in found:
                    self._value(value, where, cls, index, depth)
                return
        raise _refusal(expr, f"That '{ast.unparse(expr)}' is one loader with a length cannot be told.")

    def _value(
        self, value: ast.expr, where: ast.Module | Function, cls: Class | None, index: int | None, depth: int
    ) -> None:
        if index is None:
            self.check(value, where, cls, depth + 1)
        elif isinstance(value, (ast.Tuple, ast.List)) and index < len(value.elts):
            self.check(value.elts[index], where, cls, depth + 1)
        elif not (
            isinstance(value, ast.Call)
            and isinstance(value.func, ast.Name)
            and self._from_script(value.func.id, index, depth)
        ):
            raise _refusal(value, f"That '{ast.unparse(value)}' gives loaders with a length cannot be told.")

    def _values(
        self, expr: ast.expr, scope: ast.Module | Function, cls: Class | None
    ) -> Iterator[tuple[ast.expr, ast.Module | Function, int | None]]:
        """All that is assigned to a name or an attribute, and which part of it."""
        path = dotted(expr)
        places: list[ast.Module | Function] = [scope] if scope is self.tree else [scope, self.tree]
        if isinstance(expr, ast.Attribute):
            places = list(cls.methods.values()) if cls is not None and path == f"self.{expr.attr}" else []
        for place in places:
            got = False
            for stmt in statements_in(place):
                for target in stmt.targets if isinstance(stmt, ast.Assign) else []:
                    assert isinstance(stmt, ast.Assign)
                    if isinstance(target, (ast.Tuple, ast.List)):
                        for n, part in enumerate(target.elts):
                            if dotted(part) == path:
                                got = True
                                yield stmt.value, place, n
                    elif dotted(target) == path:
                        got = True
                        yield stmt.value, place, None
            if got and isinstance(expr, ast.Name):
                return

    def _from_script(self, name: str, index: int | None, depth: int) -> bool:
        """A function of the script whose every answer is a loader, or a class of it that has a length."""
        for node in self.tree.body:
            if isinstance(node, ast.ClassDef) and node.name == name and index is None:
                methods = {m.name for m in node.body if isinstance(m, ast.FunctionDef)}
                return {"__len__", "__iter__"} <= methods
            if isinstance(node, ast.FunctionDef) and node.name == name and depth < 8:
                answers = list(_answers(node))
                for answer in answers:
                    self._value(answer, node, None, index, depth + 1)
                return bool(answers)
        return False


def _answers(function: Function) -> Iterator[ast.expr]:
    for stmt in statements_in(function):
        if isinstance(stmt, ast.Return) and stmt.value is not None:
            yield stmt.value
