"""The Trainer's arguments that stand in the script in other words: how many epochs, on which device."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from torchlift_convert import facts as F
from torchlift_convert.counting import endless
from torchlift_convert.definitions import nest_items
from torchlift_convert.diagnostics import Refuse
from torchlift_convert.effects import Judge
from torchlift_convert.names import access
from torchlift_convert.nest import Nest
from torchlift_convert.program import Item, Program, Var
from torchlift_convert.recognisers import fact_of, facts_of
from torchlift_convert.regions import Gone
from torchlift_convert.roles import Roles, variable
from torchlift_convert.showing import counted
from torchlift_convert.tracing import Tracer
from torchlift_convert.types import FateKind


@dataclass(frozen=True)
class Epochs:
    """``count``: the expression for max_epochs. ``start``: what the script's epoch counter starts with."""

    count: str
    start: str
    start_expr: ast.expr | None = None


def epochs_of(nest: Nest, program: Program) -> Epochs:
    """Read ``for epoch in range(...)``."""
    if nest.epochs is None:
        return Epochs("1", "0")
    if isinstance(nest.epochs, ast.While):
        return Epochs("-1", "0")
    judge = Judge(program)
    without_end = endless(nest.epochs.iter, nest.home, judge)
    if without_end is not None:
        first = without_end.args[0] if without_end.args else None
        return Epochs("-1", ast.unparse(first) if first is not None else "0", first)
    call = counted(nest.epochs.iter, nest.home, judge)
    assert call is not None
    args = call.args
    if len(args) == 3 or any(isinstance(a, ast.Starred) for a in args):
        raise Refuse("TL102", "The epochs are counted with a step.", nest.epochs, "Count them with range(start, end).")
    if len(args) == 1:
        return Epochs(ast.unparse(args[0]), "0")
    start, end = args
    if isinstance(start, ast.Constant) and isinstance(start.value, int):
        return Epochs(_minus(end, start.value), str(start.value), None if start.value == 0 else start)
    return Epochs(_difference(end, start), ast.unparse(start), start)


def _difference(end: ast.expr, start: ast.expr) -> str:
    """``end - start``; ``range(start, start + n)`` has ``n`` rounds. Below zero means for ever to a Trainer."""
    if isinstance(end, ast.BinOp) and isinstance(end.op, ast.Add):
        for one, other in ((end.left, end.right), (end.right, end.left)):
            if ast.dump(one) == ast.dump(start):
                return ast.unparse(other)
    return f"max(0, {ast.unparse(end)} - {_bracketed(start)})"


def _bracketed(expr: ast.expr) -> str:
    text = ast.unparse(expr)
    return text if isinstance(expr, (ast.Name, ast.Attribute, ast.Constant)) else f"({text})"


def _minus(expr: ast.expr, number: int) -> str:
    """``expr - number``, folded where it reads better: ``range(1, epochs + 1)`` has ``epochs`` rounds."""
    if number == 0:
        return ast.unparse(expr)
    match expr:
        case ast.Constant(value=int(value)):
            return str(max(0, value - number))
        case ast.BinOp(left=left, op=ast.Add(), right=ast.Constant(value=int(value))) if value == number:
            return ast.unparse(left)
        case ast.BinOp(left=ast.Constant(value=int(value)), op=ast.Add(), right=right) if value == number:
            return ast.unparse(right)
    return f"max(0, {ast.unparse(expr)} - {number})"


def accelerator_of(
    program: Program, nest: Nest, roles: Roles, kept: list[Item], judge: Judge
) -> tuple[str, dict[ast.stmt, Gone]]:
    """The expression for ``accelerator``, and the statements that made the device when nothing else reads it."""
    moved_to = _device_variables(program, nest, roles)
    if not moved_to:
        return _without_device(program, nest), {}
    var = moved_to[0]
    places = roles.definitions.get(var, [])
    text = _kept_device(var, roles, program) if var.owned else None
    if text is not None:
        return text, {}
    if len(places) == 1 and places[0].value is not None:
        text = _accelerator(places[0].value, places[0].frame, program)
        if text is not None:
            if var.frame is nest.home and places[0].stmt in nest.pre:
                hooks = {id(i) for i in nest_items(nest)}
                if not any(var in judge.reads(i) for i in kept if i.frame is nest.home and id(i) not in hooks):
                    return text, {places[0].stmt: Gone(FateKind.TRAINER, f"Trainer(accelerator={text})")}
            return text, {}
    made = all(
        isinstance(p.value, ast.Call) and isinstance(fact_of(p.value, p.frame, program), F.MakesDevice) for p in places
    )
    name = var.said(nest.home.scope)
    return (f"{name}.type" if made and places else f"torch.device({name}).type"), {}


def _kept_device(var: Var, roles: Roles, program: Program) -> str | None:
    """The accelerator of a device that the script's object is given in words that mean the same everywhere."""
    sources = Tracer(program, roles.definitions).sources(var)
    value, frame = sources[0] if len(sources) == 1 and sources[0] is not None else (None, program.module)
    if value is None or any(frame.resolve(n).frame is not program.module for n in access(value).reads):
        return None
    return _accelerator(value, frame, program)


def _device_variables(program: Program, nest: Nest, roles: Roles) -> list[Var]:
    found: dict[Var, None] = {}
    places = [(s, nest.home) for s in nest.pre] + [(i.stmt, i.frame) for i in nest_items(nest)]
    for stmt, frame in places:
        for fact in facts_of(stmt, frame, program):
            if isinstance(fact, F.Move) and fact.device is not None:
                var = variable(fact.device, frame)
                if var in roles.devices and var is not None and (var.owned or var.frame in (nest.home, program.module)):
                    found[var] = None
    return list(found)


def _accelerator(value: ast.expr, frame: object, program: Program) -> str | None:
    """``"gpu" if condition else "cpu"`` of the usual device expressions."""
    match value:
        case ast.Call(args=[inner]) if isinstance(fact_of(value, frame, program), F.MakesDevice):  # type: ignore[arg-type]
            return _accelerator(inner, frame, program)
        case ast.IfExp(test=test, body=yes, orelse=no):
            one, other = _accelerator(yes, frame, program), _accelerator(no, frame, program)
            plain = one is not None and other is not None and " if " not in one + other
            return f"{one} if {ast.unparse(test)} else {other}" if plain else None
        case ast.Constant(value=str(text)):
            kind = _kind(text)
            return f'"{kind}"' if kind else None
    return None


def _kind(text: str) -> str | None:
    return {"cuda": "gpu", "cuda:0": "gpu", "cpu": "cpu", "mps": "mps"}.get(text)


def _without_device(program: Program, nest: Nest) -> str:
    """``.cuda()`` without a device variable; a script without any device code stays on the CPU."""
    for stmt, frame in [(s, nest.home) for s in nest.pre] + [(i.stmt, i.frame) for i in nest_items(nest)]:
        for fact in facts_of(stmt, frame, program):
            if isinstance(fact, F.Move) and fact.device is None:
                if isinstance(stmt, ast.If):
                    return f'"gpu" if {ast.unparse(stmt.test)} else "cpu"'
                return '"gpu"'
    return '"cpu"'
