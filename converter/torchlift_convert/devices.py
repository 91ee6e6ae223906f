"""The Trainer's ``accelerator`` and ``devices``, from the device code of the script."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from torchlift_convert import facts as F
from torchlift_convert.definitions import nest_items
from torchlift_convert.effects import Judge
from torchlift_convert.kept import walk
from torchlift_convert.names import access
from torchlift_convert.nest import Nest
from torchlift_convert.program import Frame, Item, Program, Var
from torchlift_convert.recognisers import fact_of, facts_of
from torchlift_convert.regions import Gone
from torchlift_convert.roles import Roles, variable
from torchlift_convert.tracing import Tracer
from torchlift_convert.types import FateKind

_GPU_IF, _ELSE_CPU = '"gpu" if ', ' else "cpu"'


@dataclass(frozen=True)
class Placement:
    """``accelerator`` and ``devices``: expressions. ``gone``: statements that made the device, read by nobody else."""

    accelerator: str
    devices: str = "1"
    gone: dict[ast.stmt, Gone] = field(default_factory=dict)


def moves(fact: F.Fact | None, frame: Frame, roles: Roles, program: Program) -> bool:
    """Does a call move something to the script's device, and nothing else? ``model.to(torch.float64)`` does not."""
    if not isinstance(fact, F.Move) or not fact.plain:
        return False
    match fact.device:
        case None | ast.Constant(value=str()):
            return True
        case ast.Call() as call:
            return isinstance(fact_of(call, frame, program), F.MakesDevice)
    return variable(fact.device, frame) in roles.devices


def placement_of(
    program: Program, nest: Nest, roles: Roles, kept: list[Item], judge: Judge, pinned: frozenset[Var]
) -> Placement:
    """Where the script computes. ``pinned``: what functions and classes read by name when they run."""
    placement = _placement_of(program, nest, roles, kept, judge, pinned)
    if placement.devices != "1" or not _sets_device(program):
        return placement
    return replace(placement, devices=_only_on_gpu("[torch.cuda.current_device()]", placement.accelerator))


def _sets_device(program: Program) -> bool:
    """Does the script choose the current GPU, as each process of a distributed training does?"""
    calls = (n for n in walk(program.script.tree) if isinstance(n, ast.Call))
    names = {program.canonical(c.func, program.module) for c in calls}
    return bool(names & {"torch.cuda.set_device", "torch.accelerator.set_device_index"})


def _only_on_gpu(devices: str, accelerator: str) -> str:
    """The expression for ``devices``, with 1 where the accelerator is the CPU."""
    if accelerator in ('"gpu"', '"cpu"'):
        return devices if accelerator == '"gpu"' else "1"
    if accelerator.endswith(".type"):
        return f'{devices} if {accelerator} == "cuda" else 1'
    test, ends = accelerator.removeprefix(_GPU_IF).removesuffix(_ELSE_CPU), (_GPU_IF, _ELSE_CPU)
    return f"{devices} if {test} else 1" if accelerator == test.join(ends) else "1"


def _placement_of(
    program: Program, nest: Nest, roles: Roles, kept: list[Item], judge: Judge, pinned: frozenset[Var]
) -> Placement:
    moved_to = _device_variables(program, nest, roles)
    if not moved_to:
        return _without_device(program, nest, roles)
    var = moved_to[0]
    places = roles.definitions.get(var, [])
    text = _kept_device(var, roles, program) if var.owned else None
    if text is not None:
        return Placement(text)
    if len(places) == 1 and places[0].value is not None:
        text = _accelerator(places[0].value, places[0].frame, program)
        if text is not None:
            if var.frame is nest.home and places[0].stmt in nest.pre and var not in pinned:
                hooks = {id(i) for i in nest_items(nest)}
                if not any(var in judge.reads(i) for i in kept if i.frame is nest.home and id(i) not in hooks):
                    gone = Gone(FateKind.TRAINER, f"Trainer(accelerator={text})")
                    return Placement(text, gone={places[0].stmt: gone})
            return Placement(text)
    values = list(_values(var, roles))
    made = all(isinstance(v, ast.Call) and isinstance(fact_of(v, f, program), F.MakesDevice) for v, f in values)
    name = var.said(nest.home.scope)
    device = name if made and values else f"torch.device({name})"
    numbered = var not in roles.devices or any(_names_one(v) for v, _ in values)
    return Placement(f"{device}.type", f"1 if {device}.index is None else [{device}.index]" if numbered else "1")


def _kept_device(var: Var, roles: Roles, program: Program) -> str | None:
    """The accelerator of a device that the script's object is given in words that mean the same everywhere."""
    sources = Tracer(program, roles.definitions).sources(var)
    value, frame = sources[0] if len(sources) == 1 and sources[0] is not None else (None, program.module)
    if value is None or any(frame.resolve(n).frame is not program.module for n in access(value).reads):
        return None
    return _accelerator(value, frame, program)


def _values(var: Var, roles: Roles, depth: int = 0) -> Iterator[tuple[ast.expr | None, Frame]]:
    """What a variable is bound to, through the names that it is handed over by."""
    for place in roles.definitions.get(var, []):
        other = variable(place.value, place.frame) if place.value is not None else None
        if other is None or other == var or depth > 8:
            yield place.value, place.frame
        else:
            yield from _values(other, roles, depth + 1)


def _names_one(value: ast.expr | None) -> bool:
    """May a device be one of several GPUs: ``torch.device(f"cuda:{rank}")``, ``torch.device("cuda", 1)``?"""
    for node in walk(value) if value is not None else ():
        match node:
            case ast.JoinedStr() | ast.BinOp():
                return True
            case ast.Call(args=[_, _, *_]) | ast.Call(func=ast.Attribute(attr="format")):
                return True
            case ast.Constant(value=int(number)) if number:
                return True
            case ast.Constant(value=str(text)) if ":" in text and not text.endswith(":0"):
                return True
    return False


def _device_variables(program: Program, nest: Nest, roles: Roles) -> list[Var]:
    found: dict[Var, None] = {}
    for _, frame, fact in _moved(program, nest):
        var = variable(fact.device, frame) if fact.device is not None else None
        if var is None or not (var.owned or var.frame in (nest.home, program.module)):
            continue
        if var in roles.devices or (var.owned and fact.plain and not _is_dtype(var, roles, program)):
            found[var] = None
    return list(found)


def _is_dtype(var: Var, roles: Roles, program: Program) -> bool:
    """``torch.float64`` and its like: what tensors are moved to without going anywhere."""
    sources = Tracer(program, roles.definitions).sources(var)
    return any(s is not None and (program.canonical(*s) or "").startswith("torch.") for s in sources)


def _moved(program: Program, nest: Nest) -> Iterator[tuple[ast.stmt, Frame, F.Move]]:
    """What is moved before the loops and in them."""
    for stmt, frame in [(s, nest.home) for s in nest.pre] + [(i.stmt, i.frame) for i in nest_items(nest)]:
        for fact in facts_of(stmt, frame, program):
            if isinstance(fact, F.Move):
                yield stmt, frame, fact


def _accelerator(value: ast.expr, frame: Frame, program: Program) -> str | None:
    """``"gpu" if condition else "cpu"`` of the usual device expressions."""
    match value:
        case ast.Call(args=[inner]) if isinstance(fact_of(value, frame, program), F.MakesDevice):
            return _accelerator(inner, frame, program)
        case ast.IfExp(test=test, body=yes, orelse=no):
            one, other = _accelerator(yes, frame, program), _accelerator(no, frame, program)
            plain = one is not None and other is not None and " if " not in one + other
            return f"{one} if {ast.unparse(test)} else {other}" if plain else None
        case ast.Constant(value=int(number)) if number is not False and number == 0:
            return '"gpu"'  # the first one, as ``.to(0)`` says
        case ast.Constant(value=str(text)):
            kind = _kind(text)
            return f'"{kind}"' if kind else None
    return None


def _kind(text: str) -> str | None:
    return {"cuda": "gpu", "cuda:0": "gpu", "cpu": "cpu", "mps": "mps"}.get(text)


def _without_device(program: Program, nest: Nest, roles: Roles) -> Placement:
    """``.cuda()``, ``.to(rank)``, ``.to(args.device)``; a script without any device code stays on the CPU."""
    tracer = Tracer(program, roles.definitions)
    for stmt, frame, fact in _moved(program, nest):
        match fact.device:
            case ast.Attribute(value=ast.Name(id=name)) if frame.resolve(name) in roles.namespaces and fact.plain:
                device = f"torch.device({ast.unparse(fact.device)})"
                return Placement(f"{device}.type", f"1 if {device}.index is None else [{device}.index]")
        number = fact.index if fact.device is None else fact.device
        if fact.device is not None and not (fact.plain and _is_number(fact.device, frame, tracer)):
            continue
        var = variable(number, frame) if number is not None else None
        if number is None or isinstance(number, ast.Constant):
            devices = "1" if number is None or not number.value else f"[{number.value!r}]"
        elif var is not None and (var.owned or var.frame in (nest.home, program.module)):
            devices = f"[{var.said(nest.home.scope)}]"
        else:
            continue
        accelerator = ast.unparse(stmt.test).join((_GPU_IF, _ELSE_CPU)) if isinstance(stmt, ast.If) else '"gpu"'
        return Placement(accelerator, "1" if devices == "1" else _only_on_gpu(devices, accelerator))
    return Placement('"cpu"')


def _is_number(expr: ast.expr, frame: Frame, tracer: Tracer) -> bool:
    """Is it the number of a GPU: one written in the code or, where each GPU has its process, anything but a dtype?"""
    if isinstance(expr, ast.Constant):
        return isinstance(expr.value, int)
    var = variable(expr, frame)
    if var is None or not _one_process_each(tracer.program):
        return False
    if any(_is_text(p.value) for p in tracer.definitions.get(var, [])):
        return False  # "cuda", or f"cuda:{rank}"
    value, place = tracer.source(expr, frame)
    return not (tracer.program.canonical(value, place) or "").startswith("torch.")


def _is_text(value: ast.expr | None) -> bool:
    return isinstance(value, ast.JoinedStr) or (isinstance(value, ast.Constant) and isinstance(value.value, str))


def _one_process_each(program: Program) -> bool:
    for node in walk(program.script.tree):
        match node:
            case ast.keyword(arg="device_ids") | ast.Attribute(attr="set_device" | "set_device_index"):
                return True
    return False
