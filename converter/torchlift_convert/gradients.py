"""Where a script looks at gradients: the Trainer clears them at moments of its own, and nobody must be able to tell."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator

from torchlift_convert.effects import Judge, root_of
from torchlift_convert.kept import walk
from torchlift_convert.names import own_nodes
from torchlift_convert.program import Frame, Item, Var
from torchlift_convert.regions import Region, Regions
from torchlift_convert.roles import variable
from torchlift_convert.syntax import nodes_of

# Regions that run between a step and the next ``zero_grad``, validation included.
_AFTER_VALIDATION = (
    Region.EPOCH_START, Region.BATCH_START, Region.STEP, Region.VAL_START, Region.VAL_STEP, Region.VAL_END,
    Region.EPOCH_END,
)  # fmt: skip


def looks_at_gradients(items: Iterable[Item], judge: Judge) -> bool:
    """Does one of the statements, or a function of the script that it calls, read or change a ``.grad``, or clip?"""
    return any(_touches(node, frame, judge) for item in items for node, frame in _running(item, judge))


def takes_gradients(items: Iterable[Item], judge: Judge) -> bool:
    """Does one of the statements differentiate, as attacks and saliency maps do? Validation hooks run without."""
    for node, frame in (one for item in items for one in _running(item, judge)):
        if isinstance(node, ast.Attribute) and node.attr in (
            "backward",
            "requires_grad",
            "requires_grad_",
            "retain_grad",
        ):
            return True
        if isinstance(node, ast.Call):
            name = judge.program.canonical(node.func, frame) or ""
            if name.startswith(("torch.autograd.", "torch.func.", "torch.enable_grad")) and "Variable" not in name:
                return True
    return False


def optimizes_inside(item: Item, judge: Judge, scheduled: Collection[Var]) -> bool:
    """Does a function or method of the script that a statement calls make, clear or apply gradients?

    ``scheduled``: schedulers, whose ``step`` is none of that.
    """
    return any(
        isinstance(node.func, ast.Attribute)
        and (
            node.func.attr in ("backward", "zero_grad")
            or (node.func.attr == "step" and variable(node.func.value, frame) not in scheduled)
        )
        for node, frame in _running(item, judge)
        if isinstance(node, ast.Call) and frame is not item.frame
    )


def seen_across_validation(regions: Regions, covered: bool, after: list[Item], judge: Judge) -> bool:
    """Would anybody notice that gradients are cleared before validation?

    ``covered``: the optimizer holds every parameter, so that each batch clears them all. ``after`` follows the loops.
    """
    if regions.validation is None:
        return False
    watching = [i for r in (_AFTER_VALIDATION if covered else Region) for i in regions.of(r)]
    return looks_at_gradients([*watching, *after], judge)


def updates_by_hand(item: Item, judge: Judge) -> bool:
    """Does a statement, or a function of the script that it calls, change something in place by its own gradient?

    ``p -= lr * p.grad``, ``p.data.add_(p.grad, alpha=-lr)``, ``w.data = w.data - lr * w.grad``
    """
    return any(_changed_by_own_gradient(node) for node, _ in _running(item, judge))


def _changed_by_own_gradient(node: ast.AST) -> bool:
    match node:
        case ast.AugAssign(target=target, value=value) | ast.Assign(targets=[target], value=value):
            parts: list[ast.expr] = [value]
        case ast.Call(func=ast.Attribute(value=target, attr=attr), args=args, keywords=keywords) if (
            attr.endswith("_") and not attr.startswith("_")
        ) or attr == "update":
            parts = [*args, *(k.value for k in keywords)]
        case _:
            return False
    changed = root_of(target)
    graded = [n for p in parts for n in walk(p) if isinstance(n, ast.Attribute) and n.attr == "grad"]
    return changed is not None and any(root_of(n) == changed for n in graded)


def _touches(node: ast.AST, frame: Frame, judge: Judge) -> bool:
    if isinstance(node, ast.Call):
        name = judge.program.canonical(node.func, frame) or ""
        return name.startswith(("torch.nn.utils.clip_grad", "torch.nn.utils.get_total_norm"))
    return isinstance(node, ast.Attribute) and node.attr == "grad"


def _running(item: Item, judge: Judge) -> Iterator[tuple[ast.AST, Frame]]:
    """Every node that runs with a statement, those of the script's functions and methods that it calls included."""
    stack: list[tuple[ast.AST, Frame]] = [(n, item.frame) for n in nodes_of(item.shape)]
    stack += [(n, hole.frame) for hole in item.holes if hole.value is not None for n in walk(hole.value)]
    seen: set[ast.AST] = set()
    while stack:
        node, frame = stack.pop()
        yield node, frame
        called: list[tuple[ast.AST, Frame]] = []
        match node:
            case ast.Call(func=ast.Name(id=name)) if (target := frame.function(name)) is not None:
                called = [(target[0], Frame(*target))]
            case ast.Call(func=ast.Attribute(attr=attr)):
                called = [(m, Frame(m, judge.program.module)) for m in judge.methods.get(attr, ())]
        for function, inner in called:
            if function not in seen:
                seen.add(function)
                stack += [(n, inner) for n in own_nodes(function)]
