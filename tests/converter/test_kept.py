"""Answers about a syntax tree: computed once, never about another tree, gone with it."""

import ast
import copy
import gc
import weakref
from pathlib import Path

from torchlift_convert.api import convert
from torchlift_convert.kept import forget, kept, walk
from torchlift_convert.names import access, own_nodes


def test_walk_gives_what_the_standard_library_gives_in_the_same_order():
    tree = ast.parse(Path(ast.__file__).read_text(encoding="utf-8"))
    assert list(walk(tree)) == list(ast.walk(tree))


def test_an_answer_is_computed_once():
    asked = []

    @kept
    def size(node: ast.AST) -> int:
        asked.append(node)
        return len(walk(node))

    tree = ast.parse("x = y + 1")
    assert size(tree) == size(tree) == len(list(ast.walk(tree)))
    assert asked == [tree]


def test_a_changed_copy_gets_answers_of_its_own():
    tree = ast.parse("x = y + 1")
    assert access(tree).reads == {"y"} and len(walk(tree)) == len(list(ast.walk(tree)))
    other = copy.deepcopy(tree)
    other.body[0].value = ast.Name("z", ast.Load())
    assert access(other).reads == {"z"} and list(walk(other)) == list(ast.walk(other))
    assert access(tree).reads == {"y"}


def test_a_tree_changed_in_place_is_asked_again_once_it_is_forgotten():
    tree = ast.parse("def f():\n    return y")
    assert [n.id for n in own_nodes(tree.body[0]) if isinstance(n, ast.Name)] == ["y"]
    tree.body[0].body[0].value = ast.Name("z", ast.Load())
    forget(tree)
    assert [n.id for n in own_nodes(tree.body[0]) if isinstance(n, ast.Name)] == ["z"]


def test_nothing_of_a_script_stays_behind_when_it_was_converted(monkeypatch):
    from torchlift_convert import api

    trees = []

    def parse(text):
        tree = ast.parse(text)
        trees.append(weakref.ref(tree))
        return tree

    monkeypatch.setattr(api, "python_tree", parse)
    convert("for x in loader:\n    loss = net(x)\n    loss.backward()\n    optimizer.step()\n")
    gc.collect()
    assert trees and all(tree() is None for tree in trees)
