"""Calls of ``self.log`` and ``self.log_dict``: which values are logged, how they are reduced, who sees them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from torchlift_convert.diagnostics import Refuse
from torchlift_convert.eject.records import Class, Function, receiver
from torchlift_convert.program import Program, dotted

PER_BATCH = ("training_step", "on_train_batch_start", "on_train_batch_end")


@dataclass(frozen=True, eq=False)
class Logged:
    """One value at one place. ``size``: the batch size given with it. ``certain``: no condition stands around it."""

    name: str
    value: ast.expr
    stmt: ast.stmt
    hook: Function
    mean: bool
    in_bar: bool
    size: ast.expr | None
    certain: bool
    is_object: bool = False  # of torchmetrics, which reduces by itself

    @property
    def variable(self) -> str:
        word = re.sub(r"\W+", "_", self.name).strip("_")
        return word if word.isidentifier() else f"metric_{word}"


def logged_in(hook: Function, cls: Class, program: Program) -> Iterator[Logged]:
    """Every value that a hook logs.

    Raises:
        Refuse: what is logged under which name, or how it is reduced, cannot be read.
    """
    own = receiver(hook)
    for node in sorted(ast.walk(hook), key=lambda n: getattr(n, "lineno", 0)):
        if not isinstance(node, ast.Call) or dotted(node.func) not in (f"{own}.log", f"{own}.log_dict"):
            continue
        stmt = next((s for s in ast.walk(hook) if isinstance(s, ast.Expr) and s.value is node), None)
        if stmt is None:
            raise _refusal(node, "is part of a larger expression")
        yield from _values(node, stmt, hook, cls, program)


def _values(call: ast.Call, stmt: ast.stmt, hook: Function, cls: Class, program: Program) -> Iterator[Logged]:
    names = ["name", "value", "prog_bar"] if dotted(call.func).endswith(".log") else ["dictionary", "prog_bar"]  # type: ignore[union-attr]
    given = dict(zip(names, call.args)) | {k.arg or "**": k.value for k in call.keywords}
    if len(call.args) > len(names) or "**" in given or any(isinstance(a, ast.Starred) for a in call.args):
        raise _refusal(call, "has arguments that are not known")
    step, epoch = (_flag(given.get(n), call) for n in ("on_step", "on_epoch"))
    if "reduce_fx" in given and ast.unparse(given["reduce_fx"]) not in ("'mean'", "torch.mean"):
        raise _refusal(call, "reduces in another way than by the mean")
    if "metric_attribute" in given:
        raise _refusal(call, "logs a metric object")
    per_batch = hook.name in PER_BATCH
    by_batch = hook.name.endswith(("_step", "_batch_start", "_batch_end"))
    mean = by_batch and (epoch if epoch is not None else not per_batch)
    if by_batch and not mean and not per_batch and step is not True:
        raise _refusal(call, "keeps no value")
    bar = _flag(given.get("prog_bar"), call) is True
    certain = stmt in hook.body
    pairs: list[tuple[ast.expr | None, ast.expr]]
    if "dictionary" in given:
        table = given["dictionary"]
        if not isinstance(table, ast.Dict):
            raise _refusal(call, "takes a dictionary that is made elsewhere")
        pairs = list(zip(table.keys, table.values))
    else:
        pairs = [(given.get("name"), given.get("value", ast.Constant(None)))]
    for key, value in pairs:
        if not (isinstance(key, ast.Constant) and isinstance(key.value, str)):
            raise _refusal(call, "has a name that is put together while running")
        one = Logged(key.value, value, stmt, hook, mean, bar, given.get("batch_size"), certain)
        yield replace(one, is_object=_is_object(value, hook, cls, program, call))


def _is_object(value: ast.expr, hook: Function, cls: Class, program: Program, call: ast.Call) -> bool:
    """Is a logged attribute an object of torchmetrics? A value that a hook has set is none."""
    own = receiver(hook)
    if not (isinstance(value, ast.Attribute) and dotted(value.value) == own):
        return False
    made = []
    for method in cls.methods.values():
        for stmt in ast.walk(method):
            targets = stmt.targets if isinstance(stmt, ast.Assign) else []
            flat = [p for t in targets for p in (t.elts if isinstance(t, ast.Tuple) else [t])]
            if any(isinstance(p, ast.Attribute) and p.attr == value.attr for p in flat):
                assert isinstance(stmt, ast.Assign)
                made.append((method.name, stmt.value))
    kinds = [program.canonical(v.func, program.module) for _, v in made if isinstance(v, ast.Call)]
    if any(k is not None and k.startswith("torchmetrics.") for k in kinds):
        return True
    if made and (any(n != "__init__" for n, _ in made) or not kinds):
        return False
    raise _refusal(call, f"may be a metric object: where '{ast.unparse(value)}' comes from cannot be told")


def _flag(expr: ast.expr | None, call: ast.Call) -> bool | None:
    if expr is None:
        return None
    if isinstance(expr, ast.Constant) and expr.value in (True, False, None):
        return expr.value  # type: ignore[return-value]
    raise _refusal(call, f"depends on '{ast.unparse(expr)}'")


def _refusal(call: ast.Call, why: str) -> Refuse:
    return Refuse(
        "TL807",
        f"What '{ast.unparse(call)[:60]}' logs cannot be followed: it {why}.",
        call,
        "Log one value under a name written there: self.log('val_loss', loss).",
    )
