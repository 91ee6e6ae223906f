"""The module's content, before its names are settled."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from torchlift_convert.plan import DataPlan, Param
from torchlift_convert.program import Var


@dataclass(frozen=True, eq=False)
class Draft:
    """The module's content, before its names are settled."""

    data: DataPlan | None
    models: tuple[Var, ...]
    passed: tuple[Var, ...]
    losses: tuple[Var, ...]
    state: tuple[Var, ...]
    initial: tuple[Var, ...]
    params: tuple[Param, ...]
    config: tuple[ast.stmt, ...]
    init: tuple[ast.stmt, ...]
    early: bool
    position: int

    @property
    def movable(self) -> list[Var]:
        """Variables of the script that become attributes of the module."""
        return [*self.models, *self.losses]
