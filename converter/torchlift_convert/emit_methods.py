"""Write the methods of the script's object that go along with the hooks into the module."""

from __future__ import annotations

import libcst as cst

from torchlift_convert.blocks import Block, Statement
from torchlift_convert.environment import Environment, Place
from torchlift_convert.plan import Plan
from torchlift_convert.program import Item
from torchlift_convert.rewrite import Edits, Origins


def methods_along(plan: Plan, origins: Origins) -> list[Statement]:
    """Each method as it stood, its attributes under their names on the module."""
    out: list[Statement] = []
    for var, name in plan.methods.items():
        assert var.frame is not None
        block = Block(plan.program.script, origins, f"{plan.module.name}.{name}")
        method = var.frame.functions[var.name]
        block.carry(Item(method, plan.program.frames[method]), Environment(plan, Place.METHOD), Edits())
        for made in block.body:
            assert isinstance(made, cst.FunctionDef)
            lead = [cst.EmptyLine(indent=False), *(e for e in made.leading_lines if e.comment is not None)]
            changed = made.with_changes(name=cst.Name(name), leading_lines=lead)
            origins.relabel(made, changed)
            out.append(changed)
    return out
