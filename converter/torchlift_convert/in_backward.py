"""Code of the script that a backward pass or an optimizer's step runs: hooks, and autograd functions."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from torchlift_convert.deferred import reached_functions
from torchlift_convert.effects import Judge
from torchlift_convert.kept import walk
from torchlift_convert.names import free_names, own_nodes
from torchlift_convert.program import Program, Var


@dataclass(frozen=True)
class InBackward:
    """``touches``: variables that such code reads, binds or changes. ``writes``: it may print or touch files."""

    touches: frozenset[Var] = frozenset()
    writes: bool = False


def in_backward(program: Program, judge: Judge) -> InBackward:
    """What functions do that the script hands to ``register_hook`` and its like, and its classes' ``backward``."""
    touches: set[Var] = set()
    writes = False
    roots = [(n, f) for f in program.frames.values() for node in own_nodes(f.scope) for n in _handed(node)]
    roots += [(ast.Name(c.name, ast.Load()), program.module) for c in program.module.classes.values() if _derives(c)]
    for root, frame in roots:
        for node in walk(root):
            if isinstance(node, ast.Name):
                touches.add(frame.resolve(node.id))
            elif isinstance(node, ast.Lambda):
                touches |= {frame.resolve(n) for n in free_names(node).reads}
                writes = writes or judge.of(node.body, frame).writes
        for function, inner in reached_functions(program, frame, walk(root)).items():
            if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
                free = free_names(function)
                touches |= {inner.resolve(n) for n in free.reads | free.binds}
                writes = writes or any(judge.of(s, inner).writes for s in function.body)
    return InBackward(frozenset(v for v in touches if v.frame is not None), writes)


def _handed(node: ast.AST) -> list[ast.expr]:
    """What a call is given that registers a hook, other than one for the forward pass."""
    match node:
        case ast.Call(func=ast.Attribute(attr=attr), args=args, keywords=keywords) if (
            attr.startswith("register_") and attr.endswith("hook") and "forward" not in attr
        ):
            return [*args, *(k.value for k in keywords)]
    return []


def _derives(cls: ast.ClassDef) -> bool:
    """Has a class a ``backward`` of its own, as autograd functions do?"""
    return any(isinstance(m, ast.FunctionDef) and m.name == "backward" for m in cls.body)
