"""Loops over values written in the code, as ``for phase in ["train", "val"]:``, taken round by round."""

from __future__ import annotations

import ast

from torchlift_convert.diagnostics import Refuse
from torchlift_convert.folding import learn
from torchlift_convert.kept import children, walk
from torchlift_convert.loops import Loop
from torchlift_convert.program import Bound, Frame, Program, Round


def written_values(loop: ast.For, frame: Frame, program: Program) -> list[ast.expr]:
    """The texts that a loop goes over, when its rounds can stand one after the other; else none."""
    values = _texts(_listed(loop.iter, frame, program))
    if values is None or loop.orelse or not isinstance(loop.target, ast.Name) or obstacle(loop, frame) is not None:
        return []
    return values


def round_of(loop: ast.For, frame: Frame, value: ast.expr) -> Round:
    """The frame of one round."""
    assert isinstance(loop.target, ast.Name)
    one = Round(frame.scope, frame, {loop.target.id: Bound(value, frame)})
    inside = {id(n) for s in loop.body for n in walk(s)}
    around = [n for n in walk(frame.scope) if isinstance(n, ast.Name) and id(n) not in inside]
    declared = [n for s in walk(frame.scope) if isinstance(s, (ast.Global, ast.Nonlocal)) for n in s.names]
    learn(one, loop.body, frozenset({*(n.id for n in around), *declared}))
    return one


def obstacle(loop: ast.For, frame: Frame) -> str | None:
    """Why the rounds of a loop over phases cannot stand one after the other; None for other loops as well."""
    match loop:
        case ast.For(iter=ast.Call(func=ast.Name(id="enumerate"), args=[ast.List() | ast.Tuple(), *_])):
            return "they are counted"
        case ast.For(iter=ast.List(elts=elts) | ast.Tuple(elts=elts)) if _texts(elts) is None and elts:
            return "they go over more than texts" if any(_has_text(e) for e in elts) else None
        case ast.For(target=ast.Name(id=name), iter=ast.List() | ast.Tuple() | ast.Name()):
            if _leaves(loop):
                return "a 'break' or 'continue' leaves one of them"
            return _other_use(loop, name, frame)
    return None


def refuse_phases(loop: Loop, frame: Frame) -> None:
    """Say what is in the way where a loop is one over phases.

    Raises:
        Refuse: always, when it is such a loop.
    """
    why = obstacle(loop, frame) if isinstance(loop, ast.For) else None
    if why is not None:
        raise Refuse(
            "TL102",
            f"The rounds of this loop cannot stand one after the other: {why}.",
            loop,
            'Write "for phase in [...]:" over texts, and keep the phase inside that loop, in plain conditions.',
        )


def refuse_calls(loop: Loop, frame: Frame, loops: list[Loop]) -> None:
    """Say so where one loop stands among the loops of an epoch more than once: in rounds, or in calls of its function.

    Raises:
        Refuse: always, when it does.
    """
    times = loops.count(loop)
    if times > 1 and isinstance(frame, Round):
        raise Refuse(
            "TL102",
            "Which rounds of the loop around this one train is not known.",
            loop,
            'Ask for the phase in plain conditions: if phase == "train":',
        )
    if times > 1:
        raise Refuse(
            "TL102",
            f"{frame.name}() goes through batches at {times} calls in an epoch, and which of them train is not known.",
            loop,
            "Hand a constant over, as training=False, and ask for it in plain conditions: if training:",
        )


def _listed(expr: ast.expr, frame: Frame, program: Program) -> list[ast.expr]:
    """What stands in a list, or in the only one that a name is bound to when nothing but loops and ``in`` use it."""
    if isinstance(expr, (ast.List, ast.Tuple)):
        return expr.elts
    var = frame.resolve(expr.id) if isinstance(expr, ast.Name) else None
    if var is None or var.frame is None or var.owned:
        return []
    held = [
        s.value
        for s in var.frame.scope.body
        if isinstance(s, ast.Assign) and isinstance(s.targets[0], ast.Name) and s.targets[0].id == var.name
    ]
    looked = set[int]()
    for node in walk(program.script.tree):
        match node:
            case ast.For(iter=ast.Name() as one) | ast.comprehension(iter=ast.Name() as one):
                looked.add(id(one))
            case ast.Compare(ops=[ast.In() | ast.NotIn()], comparators=[ast.Name() as one]):
                looked.add(id(one))
    mentions = [n for n in walk(program.script.tree) if isinstance(n, ast.Name) and n.id == var.name]
    if len(held) != 1 or sum(id(n) not in looked for n in mentions) != 1:
        return []
    return held[0].elts if isinstance(held[0], (ast.List, ast.Tuple)) else []


def _texts(elts: list[ast.expr]) -> list[ast.expr] | None:
    return elts if elts and all(isinstance(e, ast.Constant) and isinstance(e.value, str) for e in elts) else None


def _has_text(expr: ast.expr) -> bool:
    return any(isinstance(n, ast.Constant) and isinstance(n.value, (str, bool)) for n in walk(expr))


def _other_use(loop: ast.For, name: str, frame: Frame) -> str | None:
    """What else the target of a loop is used for: other loops over that name, and functions that take it, are none."""
    own: set[int] = set()
    for node in walk(frame.scope):
        match node:
            case ast.For(target=ast.Name(id=one)) if one == name:
                own |= {id(n) for n in walk(node)}
            case ast.ListComp() | ast.DictComp() | ast.SetComp() | ast.GeneratorExp():
                if any(isinstance(g.target, ast.Name) and g.target.id == name for g in node.generators):
                    own |= {id(n) for n in walk(node)}
            case ast.FunctionDef(args=taken) | ast.Lambda(args=taken) if node is not frame.scope:
                if any(a.arg == name for a in walk(taken) if isinstance(a, ast.arg)):
                    own |= {id(n) for n in walk(node)}
    bound = [n for s in loop.body for n in walk(s) if isinstance(n, ast.Name) and n.id == name]
    if any(not isinstance(n.ctx, ast.Load) for n in bound):
        return f"'{name}' gets another value in them"
    if any(isinstance(n, (ast.FunctionDef, ast.Lambda)) for s in loop.body for n in walk(s)):
        return "a function is made in them"
    mentions = [n for n in walk(frame.scope) if isinstance(n, ast.Name) and n.id == name]
    return None if all(id(n) in own for n in mentions) else f"'{name}' is used outside of them"


def _leaves(loop: ast.For) -> bool:
    """Is there a ``break`` or ``continue`` of the loop itself?"""
    stack: list[ast.AST] = list(loop.body)
    while stack:
        node = stack.pop()
        if isinstance(node, (ast.Break, ast.Continue)):
            return True
        if not isinstance(node, (ast.For, ast.While, ast.FunctionDef, ast.ClassDef)):
            stack.extend(children(node))
    return False
