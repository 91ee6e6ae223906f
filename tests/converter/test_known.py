"""Expressions in which a written value has taken a name's place."""

from __future__ import annotations

import libcst as cst
import pytest

from torchlift_convert.known import branch, without_known


class Fill(cst.CSTTransformer):
    """Puts written values in the places of ``phase``, ``flag`` and ``nothing``, and simplifies as the rewriter does."""

    values = {"phase": '"train"', "flag": "False", "nothing": "None"}

    def on_leave(self, original_node: cst.CSTNodeT, updated_node: cst.CSTNodeT) -> cst.CSTNode:  # type: ignore[override]
        if isinstance(original_node, cst.Name) and original_node.value in self.values:
            return cst.parse_expression(self.values[original_node.value])
        kinds = (
            cst.FormattedStringExpression,
            cst.BooleanOperation,
            cst.IfExp,
            cst.Comparison,
            cst.UnaryOperation,
            cst.If,
        )
        return without_known(original_node, updated_node) if isinstance(updated_node, kinds) else updated_node


def filled(text: str) -> str:
    module = cst.parse_module(text + "\n").visit(Fill())
    return module.code.strip()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('x = phase == "train"', "x = True"),
        ('f(phase != "train")', "f(False)"),
        ("x = nothing is None", "x = True"),
        ('x = phase in ("val", "test")', "x = False"),
        ("x = not flag", "x = True"),
        ('x = phase == "train" and better', "x = better"),
        ("x = flag or better", "x = better"),
        ("x = 1 if flag else 2", "x = 2"),
        ('x = n > 1 and phase == "train"', "x = n > 1"),
        ('x = not n and phase == "train"', "x = not n"),
        ("x = n / (a if flag else b + c)", "x = n / (b + c)"),
        ("x = n * (a + b if nothing is None else c)", "x = n * (a + b)"),
        ('x = -(phase == "train" and b + c)', "x = -(b + c)"),
        ('x = not (n == 1 and phase == "train")', "x = not (n == 1)"),
        ("x = n / ((b + c) if not flag else a)", "x = n / (b + c)"),
        ('if aux and phase == "train": pass', "if aux: pass"),
        ('print(f"{phase} loss")', 'print(f"train loss")'),
    ],
)
def test_says(text: str, expected: str) -> None:
    assert filled(text) == expected


@pytest.mark.parametrize(
    ("text", "expected", "reason"),
    [
        ('x = "a" == "a" and y', 'x = "a" == "a" and y', "the user wrote it"),
        ("x = not True", "x = not True", "the user wrote it"),
        ("if True: pass", "if True: pass", "the user wrote it"),
        ('x = n and phase == "train"', "x = n and True", "its value is n where n is 0"),
        ('x = n > 1 and phase == "val"', "x = n > 1 and False", "what stands in front is still asked"),
        ("x = phase == other", 'x = "train" == other', "one side is not known"),
        ("x = flag and better", "x = False and better", "a value, as it is"),
        ('print(f"{phase!r} {phase:>8}")', 'print(f"{"train"!r} {"train":>8}")', "the format says how"),
    ],
)
def test_leaves_alone(text: str, expected: str, reason: str) -> None:
    assert filled(text) == expected, reason


def left(text: str, taken: bool) -> str:
    stmt = cst.ensure_type(cst.parse_module("before\n" + text).body[1], cst.If)
    made = branch(stmt, taken, nested=False)
    if made is cst.RemoveFromParent():
        return ""
    body = list(made) if isinstance(made, cst.FlattenSentinel) else [made]
    return cst.Module(body).code


BOTH = "# why\nif a:  # here\n    # one\n    x = 1\n    y = 1\nelse:\n    # two\n    x = 2\n"


def test_a_branch_with_its_comments() -> None:
    assert left(BOTH, True) == "# why\n# here\n# one\nx = 1\ny = 1\n"
    assert left(BOTH, False) == "# why\n# two\nx = 2\n"


def test_no_branch_is_nothing() -> None:
    assert left("if a:\n    x = 1\n", False) == ""


def test_an_elif_becomes_an_if() -> None:
    assert (
        left("if a:\n    x = 1\nelif b:\n    x = 2\nelse:\n    x = 3\n", False)
        == "if b:\n    x = 2\nelse:\n    x = 3\n"
    )


def test_on_one_line() -> None:
    assert left("if a: x = 1; y = 2\n", True) == "x = 1; y = 2\n"


def test_of_an_elif_stays_an_else() -> None:
    whole = cst.ensure_type(cst.parse_module("if a:\n    x = 1\nelif b:\n    x = 2\n").body[0], cst.If)
    inner = cst.ensure_type(whole.orelse, cst.If)
    made = branch(inner, True, nested=True)
    assert isinstance(made, cst.Else)
    assert cst.Module([whole.with_changes(orelse=made)]).code == "if a:\n    x = 1\nelse:\n    x = 2\n"
    assert branch(inner, False, nested=True) is cst.RemoveFromParent()
