"""What is asked of a syntax tree again and again is computed once and kept with its nodes.

An answer lives as long as the tree that it is about. It does not go along into a copy, since copies are made to be
changed; who changes a tree in place calls ``forget``.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

_Node = TypeVar("_Node", bound=ast.AST)
_Answer = TypeVar("_Answer")


class _Answers(dict[object, Any]):
    """The answers about one node."""

    def __deepcopy__(self, memo: dict[int, object]) -> _Answers:
        return _Answers()


def kept(compute: Callable[[_Node], _Answer]) -> Callable[[_Node], _Answer]:
    """A pure function of a node, which computes its answer at the first question."""

    @wraps(compute)
    def ask(node: _Node) -> _Answer:
        attributes = node.__dict__
        answers = attributes.get("_kept")
        if answers is None:
            answers = attributes["_kept"] = _Answers()
        elif compute in answers:
            answer: _Answer = answers[compute]
            return answer
        answer = answers[compute] = compute(node)
        return answer

    return ask


def forget(tree: _Node) -> _Node:
    """The tree, which was changed, without the answers about it."""
    for node in ast.walk(tree):
        node.__dict__.pop("_kept", None)
    return tree


@kept
def children(node: ast.AST) -> tuple[ast.AST, ...]:
    """The nodes directly under a node, in the order of the language's grammar."""
    found: list[ast.AST] = []
    for name in node._fields:
        part = getattr(node, name, None)
        if isinstance(part, ast.AST):
            found.append(part)
        elif isinstance(part, list):
            found += [one for one in part if isinstance(one, ast.AST)]
    return tuple(found)


@kept
def walk(tree: ast.AST) -> tuple[ast.AST, ...]:
    """Every node of a tree, level by level, as ``ast.walk`` gives them."""
    found = [tree]
    for node in found:
        found += children(node)
    return tuple(found)
