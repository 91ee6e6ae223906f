"""What stands around the loops: the device, seeds, imports, data that was set up by hand."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import libcst as cst

from torchlift_convert.diagnostics import Refuse
from torchlift_convert.eject.find import Found, statements_in
from torchlift_convert.eject.hooks import names_of_place
from torchlift_convert.eject.options import Settings, constant
from torchlift_convert.eject.records import Entry
from torchlift_convert.eject.words import FRAMEWORKS, MODULE_API, lightning_name
from torchlift_convert.program import Program, dotted
from torchlift_convert.reserved import unique

_CUDA = "torch.cuda.is_available()"


def device_of(entry: Entry, settings: Settings, program: Program) -> tuple[str | None, str | None]:
    """The code of the device that the loop computes on, and the line that makes it; None on the CPU."""
    if settings.is_cpu:
        return None, None
    code = f"torch.device({_device(settings.accelerator)})"
    wanted = ast.dump(ast.parse(code, mode="eval").body)
    for place in dict.fromkeys((entry.scope, program.script.tree)):
        for stmt in statements_in(place):
            if isinstance(stmt, ast.Assign) and len(stmt.targets) == 1 and isinstance(stmt.targets[0], ast.Name):
                if ast.dump(stmt.value) == wanted:
                    return stmt.targets[0].id, None
    taken = names_of_place(entry.scope, program.script.tree)
    name = unique("device", taken, prefer="train")
    return name, f"{name} = {code}"


def _device(accelerator: ast.expr | None) -> str:
    if isinstance(accelerator, ast.IfExp):
        sides = [_device(accelerator.body), _device(accelerator.orelse)]
        if all(s.startswith('"') and " " not in s for s in sides):
            return f"{sides[0]} if {ast.unparse(accelerator.test)} else {sides[1]}"
    value = constant(accelerator)
    if value == "cpu":
        return '"cpu"'
    if value in ("gpu", "cuda"):
        return '"cuda"'
    return f'"cuda" if {_CUDA} else "cpu"'


def set_up_by_hand(entry: Entry, program: Program) -> bool:
    """Does ``data.setup("fit")`` stand before the call, in the same place and under no condition?"""
    for stmt in entry.scope.body:
        if stmt is entry.stmt or stmt.lineno > entry.stmt.lineno:
            return False
        if isinstance(stmt, ast.Expr) and isinstance(stmt.value, ast.Call):
            if dotted(stmt.value.func) == f"{entry.data}.setup":
                return True
    return False


_ONLY_LIGHTNINGS = frozenset(
    "current_epoch global_step lr_schedulers manual_backward log_dict callback_metrics".split()
)


def check_outside(found: Found, program: Program) -> None:
    """Refuse what the script asks of Trainers and modules outside of the calls that become loops.

    Raises:
        Refuse: there is something that only Lightning answers.
    """
    entries = {e.call.func for e in found.entries}
    trainers = {t.name for t in found.trainers if t.name}
    owners = {e.model for e in found.entries} | {n for n, c in found.classes.items() if not c.is_data}
    inside = {n for c in found.classes.values() for n in ast.walk(c.node)}
    _check_names(found, program)
    for node in ast.walk(program.script.tree):
        if node in inside:
            continue
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node not in entries:
            if node.attr in _ONLY_LIGHTNINGS and not isinstance(node.ctx, ast.Store):
                raise Refuse(
                    "TL805",
                    f"'{ast.unparse(node)}' has no counterpart in a plain loop.",
                    node,
                    "Hand over the number itself.",
                )
            lightnings = node.value.id in owners and node.attr in MODULE_API and node.attr not in ("hparams", "device")
            if node.value.id in trainers or lightnings:
                raise Refuse(
                    "TL805",
                    f"'{ast.unparse(node)}' has no counterpart in a plain loop.",
                    node,
                    "Keep what is needed in an attribute of the module, which a hook sets.",
                )
        elif isinstance(node, ast.Name) and node.id in trainers and isinstance(node.ctx, ast.Load):
            if not any(isinstance(e, ast.Attribute) and e.value is node for e in entries) and not _has_attribute(
                node, program
            ):
                raise Refuse("TL803", "The Trainer is handed on.", node, "Use it only in the function that makes it.")


def _check_names(found: Found, program: Program) -> None:
    """Every name of Lightning's is a base, a Trainer or a seed."""
    known = {n for t in found.trainers for n in ast.walk(t.call)}
    known |= {n for c in found.classes.values() for b in c.node.bases for n in ast.walk(b)}
    known |= {n for s, _ in seeds(program) for n in ast.walk(s)}
    for cls in found.classes.values():
        if "automatic_optimization" in cls.methods:
            method = cls.methods["automatic_optimization"]
            raise Refuse("TL805", "How this module is optimized is computed.", method, "Set it in __init__.")
    for node in ast.walk(program.script.tree):
        if isinstance(node, (ast.Name, ast.Attribute)) and node not in known and lightning_name(node, program):
            raise Refuse(
                "TL805",
                f"'{ast.unparse(node)}' of Lightning's is used here.",
                node,
                "Do without it: the loop imports no Lightning.",
            )


def _has_attribute(name: ast.Name, program: Program) -> bool:
    """Is an attribute of the name looked up?"""
    return any(isinstance(n, ast.Attribute) and n.value is name for n in ast.walk(program.script.tree))


def calls_of_nothing(found: Found, program: Program) -> Iterator[ast.stmt]:
    """``data.setup("fit")`` by hand of a class that has no ``setup``: LightningDataModule's own does nothing."""
    owners = {e.data: e.datamodule for e in found.entries if e.datamodule is not None}
    for stmt in program.script.statements:
        if isinstance(stmt, ast.Expr) and isinstance(stmt.value, ast.Call):
            owner, _, method = (dotted(stmt.value.func) or "").partition(".")
            cls = owners.get(owner)
            if cls is not None and method in ("setup", "prepare_data", "teardown") and method not in cls.methods:
                yield stmt


def seeds(program: Program) -> Iterator[tuple[ast.stmt, list[str]]]:
    """``L.seed_everything(n)`` and what it does.

    Raises:
        Refuse: it seeds in a way that depends on the environment, or workers too.
    """
    for stmt in program.script.statements:
        if not (isinstance(stmt, ast.Expr) and isinstance(stmt.value, ast.Call)):
            continue
        call = stmt.value
        if lightning_name(call.func, program) != "seed_everything":
            continue
        given = {k.arg: k.value for k in call.keywords}
        seed = call.args[0] if call.args else given.get("seed")
        workers = constant(given.get("workers")) not in (None, False) or len(call.args) > 1
        if seed is None or constant(seed) is None or (workers and "num_workers" in program.script.text):
            raise Refuse(
                "TL806",
                "This seed comes from the environment, or goes to the workers of loaders in Lightning's own way.",
                call,
                "Call seed_everything(number), without workers=True.",
            )
        code = ast.unparse(seed)
        numpy = next((local for local, full in program.imports.items() if full == "numpy"), "np")
        yield stmt, [f"random.seed({code})", f"{numpy}.random.seed({code})", f"torch.manual_seed({code})"]


_LINES = {
    "sys": "import sys",
    "random": "import random",
    "itertools": "import itertools",
    "numpy": "import numpy as np",
    "torch": "import torch",
    "nn": "from torch import nn",
}


def place_imports(module: cst.Module, program: Program, wanted: set[str]) -> cst.Module:
    """Imports that the loop needs, and none of Lightning's."""
    body: list[cst.BaseStatement] = []
    waiting: list[cst.EmptyLine] = []
    for stmt in module.body:
        if _is_frameworks(stmt):
            waiting += [e for e in stmt.leading_lines if e.comment]
            continue
        if waiting:
            stmt = stmt.with_changes(leading_lines=[*waiting, *getattr(stmt, "leading_lines", ())])
            waiting = []
        body.append(stmt)
    imports = program.imports
    there = {"numpy"} if "numpy" in imports.values() else set()
    there |= {n for n in ("sys", "random", "itertools", "torch") if imports.get(n) == n}
    lines = [_LINES[n] for n in ("itertools", "random", "sys", "numpy", "torch", "nn") if n in wanted - there]
    at = next((n for n, s in enumerate(body) if _is_import(s) and "__future__" not in _code(s)), _behind_text(body))
    body[at:at] = [cst.ensure_type(cst.parse_statement(line), cst.SimpleStatementLine) for line in lines]
    return module.with_changes(body=body)


def _code(node: cst.CSTNode) -> str:
    return cst.Module([]).code_for_node(node)


def _is_import(stmt: cst.CSTNode) -> bool:
    return isinstance(stmt, cst.SimpleStatementLine) and isinstance(stmt.body[0], (cst.Import, cst.ImportFrom))


def _is_frameworks(stmt: cst.CSTNode) -> bool:
    if not _is_import(stmt):
        return False
    assert isinstance(stmt, cst.SimpleStatementLine)
    tree = ast.parse(_code(cst.SimpleStatementLine(stmt.body)).strip()).body
    names = [a.name for s in tree if isinstance(s, ast.Import) for a in s.names]
    names += [s.module or "" for s in tree if isinstance(s, ast.ImportFrom) and not s.level]
    return bool(names) and all(n.partition(".")[0] in FRAMEWORKS for n in names)


def _behind_text(body: list[cst.BaseStatement]) -> int:
    first = body[0] if body else None
    return int(isinstance(first, cst.SimpleStatementLine) and isinstance(first.body[0], cst.Expr))


def leftovers(tree: ast.Module) -> str | None:
    """A framework that the text still names in code."""
    for node in ast.walk(tree):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        for name in names:
            if name.partition(".")[0] in FRAMEWORKS:
                return name
    return None
