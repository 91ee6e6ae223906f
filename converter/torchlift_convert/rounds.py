"""Loops over values written in the code, as ``for phase in ["train", "val"]:``, taken round by round."""

from __future__ import annotations

import ast

from torchlift_convert.program import Bound, Frame, Round


def written_values(loop: ast.For, frame: Frame) -> list[ast.expr]:
    """The strings that a loop goes over, when its rounds can stand one after the other; else none."""
    if loop.orelse or not isinstance(loop.target, ast.Name) or not isinstance(loop.iter, (ast.List, ast.Tuple)):
        return []
    texts = all(isinstance(e, ast.Constant) and isinstance(e.value, str) for e in loop.iter.elts)
    return list(loop.iter.elts) if texts and _knows_its_target(loop, frame) and not _leaves(loop) else []


def round_of(loop: ast.For, frame: Frame, value: ast.expr) -> Round:
    """The frame of one round."""
    assert isinstance(loop.target, ast.Name)
    return Round(frame.scope, frame, {loop.target.id: Bound(value, frame)})


def _knows_its_target(loop: ast.For, frame: Frame) -> bool:
    """Is its target mentioned nowhere else (but as the target of other loops), and bound by nothing in it?"""
    assert isinstance(loop.target, ast.Name)
    name = loop.target.id
    own: set[int] = set()
    for node in ast.walk(frame.scope):
        target = node.target if isinstance(node, (ast.For, ast.comprehension)) else None
        if isinstance(target, ast.Name) and target.id == name:
            whole = [node] if isinstance(node, ast.For) else [target]
            own |= {id(n) for part in whole for n in ast.walk(part)}
        if isinstance(node, (ast.ListComp, ast.DictComp, ast.SetComp, ast.GeneratorExp)):
            if any(isinstance(g.target, ast.Name) and g.target.id == name for g in node.generators):
                own |= {id(n) for n in ast.walk(node)}
    mentions = [n for n in ast.walk(frame.scope) if isinstance(n, ast.Name) and n.id == name]
    bound = [n for s in loop.body for n in ast.walk(s) if isinstance(n, ast.Name) and n.id == name]
    if any(not isinstance(n.ctx, ast.Load) for n in bound):
        return False
    inner = [n for s in loop.body for n in ast.walk(s) if isinstance(n, (ast.FunctionDef, ast.Lambda))]
    return not inner and all(id(n) in own for n in mentions)


def _leaves(loop: ast.For) -> bool:
    """Is there a ``break`` or ``continue`` of the loop itself?"""
    stack: list[ast.AST] = list(loop.body)
    while stack:
        node = stack.pop()
        if isinstance(node, (ast.Break, ast.Continue)):
            return True
        if not isinstance(node, (ast.For, ast.While, ast.FunctionDef, ast.ClassDef)):
            stack.extend(ast.iter_child_nodes(node))
    return False
