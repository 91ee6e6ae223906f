"""What ``configure_optimizers`` returns, in each of its forms."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from torchlift_convert.diagnostics import Refuse
from torchlift_convert.eject.records import Class, Function, receiver
from torchlift_convert.names import parameters
from torchlift_convert.program import Program, dotted

ONLY = "torch.optim."
WITH_CLOSURE = ("LBFGS",)


@dataclass(frozen=True, eq=False)
class Scheduler:
    """``every``: stepped at every so many of ``interval`` ('epoch' or 'step'). ``monitor``: a plateau's metric."""

    expr: ast.expr
    interval: str
    every: ast.expr | None
    monitor: str | None


@dataclass(frozen=True, eq=False)
class Optimizers:
    method: Function
    answer: ast.Return
    optimizers: tuple[ast.expr, ...]
    schedulers: tuple[Scheduler, ...]


def read(cls: Class, program: Program) -> Optimizers:
    """The optimizers and schedulers of a module.

    Raises:
        Refuse: it returns something else than the documented forms, or an optimizer that cannot be told.
    """
    method = cls.methods.get("configure_optimizers")
    if method is None:
        raise Refuse("TL806", f"'{cls.node.name}' has no configure_optimizers.", cls.node, "Write one.")
    answer = method.body[-1]
    if not isinstance(answer, ast.Return) or answer.value is None:
        raise _unknown(method, answer)
    optimizers, schedulers = _parse(method, _value(method, answer.value), None)
    for one in optimizers:
        _check_class(cls, method, one, program)
    for scheduler in schedulers:
        _check_plateau(cls, method, scheduler, program)
    return Optimizers(method, answer, tuple(optimizers), tuple(schedulers))


def _unknown(method: Function, node: ast.stmt | ast.expr) -> Refuse:
    return Refuse(
        "TL806",
        "What configure_optimizers returns cannot be read.",
        node,
        "End it with one return: an optimizer, [optimizers], ([optimizers], [schedulers]) or a dictionary of both.",
    )


def _value(method: Function, expr: ast.expr) -> ast.expr:
    """The list or dictionary behind a local name; an optimizer's name stays as it is."""
    if isinstance(expr, ast.Name):
        made = _assigned(method, expr.id)
        if isinstance(made, (ast.Dict, ast.List, ast.Tuple)):
            raise _unknown(method, expr)
    return expr


def _assigned(method: Function, name: str) -> ast.expr | None:
    found = [
        s.value
        for s in ast.walk(method)
        if isinstance(s, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in s.targets)
    ]
    return found[0] if len(found) == 1 else None


def _parse(method: Function, expr: ast.expr, monitor: str | None) -> tuple[list[ast.expr], list[Scheduler]]:
    if isinstance(expr, ast.Dict):
        table = _table(method, expr)
        if set(table) - {"optimizer", "lr_scheduler", "monitor"} or "optimizer" not in table:
            raise _unknown(method, expr)
        monitor = _text(table.get("monitor"), method)
        configs = [table["lr_scheduler"]] if "lr_scheduler" in table else []
        return [table["optimizer"]], [_scheduler(method, c, monitor) for c in configs]
    if isinstance(expr, (ast.List, ast.Tuple)):
        parts = expr.elts
        if len(parts) == 2 and all(isinstance(p, (ast.List, ast.Tuple)) for p in parts):
            first, second = parts
            assert isinstance(first, (ast.List, ast.Tuple)) and isinstance(second, (ast.List, ast.Tuple))
            return list(first.elts), [_scheduler(method, s, None) for s in second.elts]
        if any(isinstance(p, (ast.List, ast.Tuple, ast.Dict, ast.Starred)) for p in parts) or not parts:
            raise _unknown(method, expr)
        return list(parts), []
    if isinstance(expr, (ast.Name, ast.Attribute, ast.Call)):
        return [expr], []
    raise _unknown(method, expr)


def _table(method: Function, expr: ast.Dict) -> dict[str, ast.expr]:
    if not all(isinstance(k, ast.Constant) and isinstance(k.value, str) for k in expr.keys):
        raise _unknown(method, expr)
    return {str(k.value): v for k, v in zip(expr.keys, expr.values) if isinstance(k, ast.Constant)}


def _text(expr: ast.expr | None, method: Function) -> str | None:
    if expr is None:
        return None
    if isinstance(expr, ast.Constant) and isinstance(expr.value, str):
        return expr.value
    raise _unknown(method, expr)


def _scheduler(method: Function, expr: ast.expr, monitor: str | None) -> Scheduler:
    if not isinstance(expr, ast.Dict):
        _value(method, expr)
        return Scheduler(expr, "epoch", None, monitor)
    table = _table(method, expr)
    if set(table) - {"scheduler", "interval", "frequency", "monitor", "name", "strict"} or "scheduler" not in table:
        raise _unknown(method, expr)
    interval = _text(table.get("interval"), method) or "epoch"
    every = table.get("frequency")
    if isinstance(every, ast.Constant) and every.value == 1:
        every = None
    if interval not in ("epoch", "step") or (every is not None and not isinstance(every, ast.Constant)):
        raise _unknown(method, expr)
    return Scheduler(table["scheduler"], interval, every, _text(table.get("monitor"), method) or monitor)


def _made_by(cls: Class, method: Function, expr: ast.expr, tree: ast.Module) -> ast.expr | None:
    """The call that makes what a name or attribute stands for."""
    if isinstance(expr, ast.Call):
        return expr
    if isinstance(expr, ast.Name):
        return _assigned(method, expr.id)
    path = dotted(expr)
    found = [
        s.value
        for m in (cls.init, method)
        if m is not None
        for s in ast.walk(m)
        if isinstance(s, ast.Assign) and any(dotted(t) == path for t in s.targets)
    ]
    if len(found) != 1:
        return None
    made = found[0]
    return _handed_in(cls, made.id, tree) if isinstance(made, ast.Name) else made


def _handed_in(cls: Class, name: str, tree: ast.Module) -> ast.expr | None:
    """What an argument of ``__init__`` is, where the class is called once, with a variable that is bound once."""
    assert cls.init is not None
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and dotted(n.func) == cls.node.name]
    names = parameters(cls.init.args)[1:]
    if len(calls) != 1 or name not in names:
        return None
    given = dict(zip(names, calls[0].args)) | {k.arg: k.value for k in calls[0].keywords if k.arg}
    value = given.get(name)
    if not isinstance(value, ast.Name):
        return value
    inside = set(ast.walk(cls.node))
    bound = [
        s.value
        for s in ast.walk(tree)
        if isinstance(s, ast.Assign) and s not in inside and any(dotted(t) == value.id for t in s.targets)
    ]
    return bound[0] if len(bound) == 1 else None


def _check_class(cls: Class, method: Function, expr: ast.expr, program: Program) -> None:
    made = _made_by(cls, method, expr, program.script.tree)
    name = program.canonical(made.func, program.module) if isinstance(made, ast.Call) else None
    if name is None or not name.startswith(ONLY) or name.rpartition(".")[2] in WITH_CLOSURE:
        raise Refuse(
            "TL808",
            f"'{ast.unparse(expr)}' may want its loss computed inside its step: it is no optimizer of torch.optim that"
            " steps without a closure.",
            expr,
            "Use an optimizer of torch.optim, made by its class's name.",
        )


def _check_plateau(cls: Class, method: Function, scheduler: Scheduler, program: Program) -> None:
    made = _made_by(cls, method, scheduler.expr, program.script.tree)
    name = program.canonical(made.func, program.module) if isinstance(made, ast.Call) else None
    if name is None:
        raise Refuse(
            "TL808",
            f"Of which class the scheduler '{ast.unparse(scheduler.expr)}' is cannot be told.",
            scheduler.expr,
            "Make it by its class's name.",
        )
    plateau = name.endswith("ReduceLROnPlateau")
    if plateau != (scheduler.monitor is not None) and plateau:
        raise _unknown(method, scheduler.expr)
    if plateau and (scheduler.interval != "epoch" or scheduler.every is not None):
        raise _unknown(method, scheduler.expr)


def is_plateau(scheduler: Scheduler, cls: Class, method: Function, tree: ast.Module) -> bool:
    made = _made_by(cls, method, scheduler.expr, tree)
    return isinstance(made, ast.Call) and (dotted(made.func) or "").endswith("ReduceLROnPlateau")


def covers(cls: Class, optimizers: Optimizers, tree: ast.Module) -> ast.expr | None:
    """The parameters that the one optimizer was given, where it was one ``….parameters()``."""
    if len(optimizers.optimizers) != 1:
        return None
    made = _made_by(cls, optimizers.method, optimizers.optimizers[0], tree)
    if not isinstance(made, ast.Call) or not made.args:
        return None
    given = made.args[0]
    if isinstance(given, ast.Call) and not given.args and not given.keywords and dotted(given.func):
        path = dotted(given.func) or ""
        if path.startswith(f"{receiver(optimizers.method)}.") and path.endswith(".parameters"):
            return given
    return None
