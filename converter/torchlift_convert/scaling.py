"""A gradient scaler in the batch: what the Trainer does with one, and where that is what the script does.

A Trainer scales the loss for the backward, unscales the gradients right behind it, steps through the scaler and updates
it. Autocast stays where the script has it: a Trainer's own wraps more, and keeps no cache of casted weights.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from torchlift_convert import facts as F
from torchlift_convert.effects import Judge
from torchlift_convert.gradients import looks_at_gradients
from torchlift_convert.program import Frame, Item, Var
from torchlift_convert.regions import Gone, NotAutomatic, call_fact, reads_any
from torchlift_convert.roles import Roles, variable
from torchlift_convert.types import FateKind

SCALER = Gone(FateKind.TRAINER, "Trainer(plugins): the gradient scaler")


@dataclass(frozen=True)
class Scaled:
    """The one scaler of a batch, and where in the body its own two calls stand."""

    scaler: Var
    unscale: int | None
    update: int


def plainly(fact: F.Fact | None, frame: Frame, roles: Roles) -> F.Fact | None:
    """``scaler.scale(loss).backward()`` as ``loss.backward()``, ``scaler.step(optimizer)`` as ``optimizer.step()``."""
    match fact:
        case F.Backward(node=node, target=ast.Call(func=ast.Attribute(value=scaler, attr="scale"), args=[loss])):
            return F.Backward(node, loss) if variable(scaler, frame) in roles.scalers else fact
        case F.Step(node=ast.Call(args=[optimizer], keywords=[]), receiver=scaler):
            bare = ast.Call(ast.Attribute(optimizer, "step", ast.Load()), [], [])
            return F.Step(bare, optimizer) if variable(scaler, frame) in roles.scalers else fact
    return fact


def scales(fact: F.Fact, frame: Frame, roles: Roles) -> bool:
    """Is it a call of a scaler?"""
    return isinstance(fact, F.Scaling | F.Step) and variable(fact.receiver, frame) in roles.scalers


def scaled(body: Sequence[Item], backward: int, step: int, roles: Roles, judge: Judge) -> Scaled | None:
    """The scaler of a batch whose one backward and one step are known; None when there is none.

    Raises:
        NotAutomatic: the Trainer would use it otherwise.
    """
    used = [(n, f) for n, i in enumerate(body) if (f := call_fact(i, judge.program)) and scales(f, i.frame, roles)]
    held = {variable(f.receiver, body[n].frame) for n, f in used if isinstance(f, F.Scaling | F.Step)}
    target = call_fact(body[backward], judge.program)
    scaler = _of_backward(target, body[backward].frame, roles)
    if scaler is None and not held:
        return None
    by_verb = {
        verb: [n for n, f in used if isinstance(f, F.Scaling) and f.verb == verb] for verb in ("unscale_", "update")
    }
    unscales, updates = by_verb["unscale_"], by_verb["update"]
    stmt = body[step].stmt
    if scaler is None or held != {scaler} or not any(n == step for n, _ in used):
        raise NotAutomatic("the loss is scaled but not the step, or by another scaler", stmt)
    if len(updates) != 1 or len(unscales) > 1 or updates[0] < step:
        raise NotAutomatic(f"{len(updates) or 'no'} plain update() of the scaler behind the step", stmt)
    if unscales and not backward < unscales[0] < step:
        raise NotAutomatic("the gradients are not unscaled between backward and step", body[unscales[0]].stmt)
    if unscales and may_be_fused(roles):
        raise NotAutomatic("the optimizer may unscale the gradients itself", body[unscales[0]].stmt)
    if len(roles.definitions.get(scaler, [])) != 1:
        raise NotAutomatic("which scaler it is, is not known", stmt)
    for item in body[backward + 1 : unscales[0] if unscales else step]:
        if looks_at_gradients([item], judge):
            raise NotAutomatic("gradients are looked at before they are unscaled", item.stmt)
    for n in range(backward + 1, updates[0]):
        if n not in (*unscales, step) and reads_any(body[n], {scaler}, judge):
            raise NotAutomatic("the scaler is looked at before it is updated", body[n].stmt)
    return Scaled(scaler, unscales[0] if unscales else None, updates[0])


def _of_backward(fact: F.Fact | None, frame: Frame, roles: Roles) -> Var | None:
    match fact:
        case F.Backward(target=ast.Call(func=ast.Attribute(value=scaler, attr="scale"), args=[_])):
            var = variable(scaler, frame)
            return var if var in roles.scalers else None
    return None


def may_be_fused(roles: Roles) -> bool:
    """May an optimizer's step divide the gradients by the scale, as those made with ``fused=True`` do?"""
    for made in (one for several in roles.optimizers.values() for one in several):
        given = [k for k in made.fact.node.keywords if k.arg in (None, "fused")]
        if any(k is None or not isinstance(k.value, ast.Constant) or k.value.value for k in given):
            return True
    return False
