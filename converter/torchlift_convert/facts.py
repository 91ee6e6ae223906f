"""What recognisers see: one record per thing, each about one expression of the source."""

from __future__ import annotations

import ast
from dataclasses import dataclass


@dataclass(frozen=True, eq=False)
class Fact:
    """Something seen at a call of the source."""

    node: ast.Call


@dataclass(frozen=True, eq=False)
class Backward(Fact):
    """``target.backward(...)``"""

    target: ast.expr


@dataclass(frozen=True, eq=False)
class Step(Fact):
    """``receiver.step(...)`` of an optimizer, a scheduler or a scaler: its role says which."""

    receiver: ast.expr


@dataclass(frozen=True, eq=False)
class ZeroGrad(Fact):
    """``receiver.zero_grad(...)``; ``plain`` when called without arguments."""

    receiver: ast.expr
    plain: bool


@dataclass(frozen=True, eq=False)
class Clip(Fact):
    """``clip_grad_norm_(parameters, limit)`` or ``clip_grad_value_``; ``plain`` without further arguments."""

    algorithm: str  # 'norm' or 'value', as Trainer(gradient_clip_algorithm=...) names them
    parameters: ast.expr
    limit: ast.expr
    plain: bool


@dataclass(frozen=True, eq=False)
class Mode(Fact):
    """``receiver.train()`` or ``receiver.eval()``; ``training`` is None where a value of the script decides."""

    receiver: ast.expr
    training: bool | None


@dataclass(frozen=True, eq=False)
class Move(Fact):
    """``value.to(device)`` or ``value.cuda()``; ``device`` is None for the latter, which may say the GPU's ``index``.

    ``plain``: it does nothing else; ``value.to(device, torch.float32)`` does. What is given may be a dtype too.
    """

    value: ast.expr
    device: ast.expr | None
    index: ast.expr | None = None
    plain: bool = True


@dataclass(frozen=True, eq=False)
class MakesOptimizer(Fact):
    """A torch optimizer is made."""


@dataclass(frozen=True, eq=False)
class MakesScheduler(Fact):
    """A learning rate scheduler is made around ``optimizer``."""

    optimizer: ast.expr
    plateau: bool


@dataclass(frozen=True, eq=False)
class MakesLoader(Fact):
    """A DataLoader is made over ``dataset``."""

    dataset: ast.expr


@dataclass(frozen=True, eq=False)
class MakesLoss(Fact):
    """A loss module of torch is made."""


@dataclass(frozen=True, eq=False)
class MakesNamespace(Fact):
    """``parser.parse_args()``"""


@dataclass(frozen=True, eq=False)
class Bar(Fact):
    """A progress bar is drawn around ``iterable``."""

    iterable: ast.expr | None


@dataclass(frozen=True, eq=False)
class GradMode(Fact):
    """``torch.no_grad()`` and its like: gradients are off under it."""


@dataclass(frozen=True, eq=False)
class GradSwitch(Fact):
    """``torch.set_grad_enabled(enabled)``, where a value of the script decides."""

    enabled: ast.expr


@dataclass(frozen=True, eq=False)
class MakesDevice(Fact):
    """``torch.device(...)``"""


@dataclass(frozen=True, eq=False)
class MakesScaler(Fact):
    """A gradient scaler of torch is made."""


@dataclass(frozen=True, eq=False)
class Scaling(Fact):
    """``receiver.scale(loss)``, ``receiver.unscale_(optimizer)``, ``receiver.update()``: its role says of what."""

    receiver: ast.expr
    verb: str  # 'scale', 'unscale_' or 'update'
