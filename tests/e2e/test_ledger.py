"""The ledger of every sample: it adds up, and what it calls kept or moved says in the output what it said before.

Such a statement may name things otherwise (``loss_fn`` is ``self.loss_fn`` now), leaves moves to the device to the
Trainer, and holds what a function returned where it called one whose statements became hooks. Everything else of its
syntax tree has to be the same.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from torchlift_convert.api import convert
from torchlift_convert.syntax import parse, span_of, walk_statements
from torchlift_convert.types import Fate, FateKind, Options, Result

SAMPLES = sorted(path.parent for path in Path(__file__).parents[2].glob("samples/*/train.py"))

BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")  # statements in them have fates of their own
ROOTS = frozenset({"self", "data", "model", "trainer", "batch", "batch_idx", "outputs"})  # where renamed things live


@dataclass(frozen=True)
class Case:
    before: ast.Module
    after: ast.Module
    statements: tuple[ast.stmt, ...]
    result: Result

    @property
    def returned(self) -> dict[str, ast.expr]:
        """What each function of the script returns at its end."""
        functions = [n for n in ast.walk(self.before) if isinstance(n, ast.FunctionDef)]
        ends = [(f.name, f.body[-1]) for f in functions]
        return {name: end.value for name, end in ends if isinstance(end, ast.Return) and end.value is not None}

    @property
    def roots(self) -> frozenset[str]:
        names = ({n.id for n in ast.walk(t) if isinstance(n, ast.Name)} for t in (self.after, self.before))
        return frozenset(next(names) - next(names))

    def targets(self, fate: Fate) -> Iterator[list[ast.stmt]]:
        """For each target of a fate the statements of the output that stand on exactly these lines."""
        for span in fate.targets:
            yield [s for s in walk_statements(self.after.body) if span_of(s) == span]


@pytest.fixture(params=SAMPLES, ids=lambda folder: folder.name, scope="module")
def case(request: pytest.FixtureRequest) -> Case:
    source = (request.param / "train.py").read_text(encoding="utf-8")
    result = convert(source, Options())
    assert result.code is not None
    script = parse(source)
    return Case(script.tree, ast.parse(result.code), script.statements, result)


def test_each_statement_has_one_fate_in_source_order(case: Case) -> None:
    assert [f.source for f in case.result.fates] == [span_of(s) for s in case.statements]


def test_each_fate_says_where(case: Case) -> None:
    for fate in case.result.fates:
        assert fate.where
        written = fate.kind in (FateKind.KEPT, FateKind.MOVED)
        assert written == bool(fate.targets) or fate.kind is FateKind.MERGED, fate


def test_targets_are_statements_of_the_output(case: Case) -> None:
    for fate in case.result.fates:
        assert all(case.targets(fate)), fate


def test_no_line_of_the_output_is_two_statements_of_the_script(case: Case) -> None:
    """Two statements share a target only where they shared a line."""
    seen: dict[object, Fate] = {}
    for fate in case.result.fates:
        for span in fate.targets:
            other = seen.setdefault(span, fate)
            assert other is fate or other.source.first == fate.source.first, (other, fate)


def test_kept_imports_lose_names_at_most(case: Case) -> None:
    for stmt, fate in zip(case.statements, case.result.fates):
        if fate.kind is FateKind.KEPT and isinstance(stmt, ast.Import | ast.ImportFrom):
            for (found,) in case.targets(fate):
                assert {a.name for a in found.names} <= {a.name for a in stmt.names}  # type: ignore[attr-defined]


def test_statements_are_the_same_up_to_names(case: Case) -> None:
    for stmt, fate in zip(case.statements, case.result.fates):
        if fate.kind in (FateKind.KEPT, FateKind.MOVED) and not isinstance(stmt, ast.Import | ast.ImportFrom):
            for found in case.targets(fate):
                assert any(_same(stmt, one, Renames(case.returned, case.roots)) for one in found), (
                    f"{ast.unparse(stmt)}\n--- became ---\n{ast.unparse(found[0])}"
                )


@dataclass
class Renames:
    """What names became, within one statement: each name one thing.

    ``returned``: what the script's functions return. ``roots``: names that only the output has.
    """

    returned: dict[str, ast.expr] = field(default_factory=dict)
    roots: frozenset[str] = frozenset()
    found: dict[str, str] = field(default_factory=dict)

    def agree(self, old: str, new: str) -> bool:
        return self.found.setdefault(old, new) == new


def _same(old: object, new: object, renames: Renames) -> bool:
    """Is the new tree the old one up to names? Blocks inside are not compared."""
    match old, new:
        case ast.expr(), ast.expr():
            return (type(old) is type(new) and _fields(old, new, renames)) or _renamed(old, new, renames)
        case ast.Expr(value=value), ast.Return(value=given):
            return _same(value, given, renames)
        case ast.Assign(value=value), ast.Return(value=given):  # the loader that a method of the DataModule returns
            return _same(value, given, renames)
        case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)), ast.Assign():
            return _fields(old, new, renames) or _part_of_moves(names, values, new, renames)
        case ast.Break() | ast.Continue(), ast.Return() | ast.Assign(value=ast.Constant(value=True)):
            return True  # the hook ends, the Trainer is told to stop
        case ast.AST(), ast.AST():
            return type(old) is type(new) and _fields(old, new, renames)
        case list(), list():
            return len(old) == len(new) and all(_same(a, b, renames) for a, b in zip(old, new))
    return old == new


def _fields(old: ast.AST, new: ast.AST, renames: Renames) -> bool:
    """Every field of two nodes of a kind; what was tried in vain leaves no trace."""
    before = dict(renames.found)
    ignored = {"ctx", "type_comment", *(BLOCKS if isinstance(old, ast.stmt) else ())}
    same = all(_same(getattr(old, f), getattr(new, f), renames) for f in old._fields if f not in ignored)
    if not same:
        renames.found = before
    return same


def _part_of_moves(names: list[ast.expr], values: list[ast.expr], new: ast.Assign, renames: Renames) -> bool:
    """``x, y = x.to(device), y.to(device)`` of which the Trainer does a part."""
    if not all(_moved(value) is not None for value in values) or not isinstance(new.value, ast.Tuple):
        return False
    left = {ast.unparse(n): v for n, v in zip(names, values)}
    kept = [ast.unparse(t) for t in ast.walk(new.targets[0]) if isinstance(t, ast.Name)]
    return all(n in left and _same(left[n], v, renames) for n, v in zip(kept, new.value.elts))


def _moved(expr: ast.expr) -> ast.expr | None:
    """What ``x.to(device)`` or ``x.cuda()`` moves; None for anything else."""
    match expr:
        case ast.Call(func=ast.Attribute(value=value, attr="cuda")):
            return value
        case ast.Call(func=ast.Attribute(value=value, attr="to"), args=[where]) if _root(where) != "torch":
            return value
    return None


def _renamed(old: ast.expr, new: ast.expr, renames: Renames) -> bool:
    moved = _moved(old)
    if moved is not None:
        again = _moved(new)
        return _same(moved, new if again is None else again, renames)
    match old, new:
        case ast.Call(), ast.Call(func=ast.Name(id="Batches"), args=[loader]):  # handed over as the loop goes over it
            return _same(old, loader, renames)
        case ast.Name(id=name), ast.Constant(value=str(phase)):  # of a loop over phases
            return renames.agree(name, repr(phase))
        case ast.Call(func=ast.Name(id=name)), _ if name in renames.returned:
            return _same(renames.returned[name], new, renames)
        case (
            ast.Call(func=ast.Attribute(value=loss, attr="backward")),
            ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr="manual_backward"), args=[given, *_]),
        ):
            return _same(loss, given, renames)
        case ast.Attribute(value=ast.Name(), attr=option), ast.Name(id=name):  # args.lr, given to the constructor as lr
            return name == option and renames.agree(ast.unparse(old), name)
    reference = isinstance(old, ast.Name) or (isinstance(old, ast.Attribute) and isinstance(old.value, ast.Name))
    return reference and _root(new) in ROOTS | renames.roots and renames.agree(ast.unparse(old), ast.unparse(new))


def _root(expr: ast.expr) -> str | None:
    """The name that a chain of attributes, calls and items starts with; of ``self.current_epoch + 1`` as well."""
    if isinstance(expr, ast.BinOp) and ast.unparse(expr.left) == "self.current_epoch":
        return "self"
    while isinstance(expr, ast.Attribute | ast.Call | ast.Subscript):
        expr = expr.func if isinstance(expr, ast.Call) else expr.value
    return expr.id if isinstance(expr, ast.Name) else None


# -- the check itself ----------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x = f(y)", "self.x = f(self.y)"),
        ("print(args.lr)", "print(self.hparams.lr)"),
        ("out = model(x.to(device))", "out = self.model(x)"),
        ("loss.backward()", "self.manual_backward(loss)"),
    ],
)
def test_renamed_statements_pass(old: str, new: str) -> None:
    assert _same(ast.parse(old).body[0], ast.parse(new).body[0], Renames())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x = f(y)", "self.x = f(y, 1)"),
        ("x += 1", "self.x = 1"),
        ("if loss < best: pass", "if self.loss <= self.best: pass"),
        ("x = a + a", "x = self.a + self.b"),
        ("x = 1e-3", "x = 1e-4"),
        ("print(a, b)", "print(self.b)"),
        ("y = x.to(torch.float64)", "y = self.x"),
        ("y = x.to(device)", "y = self.x + 1"),
        ("a, b = f(a), g(b)", "b = g(b)"),
    ],
)
def test_changed_statements_do_not(old: str, new: str) -> None:
    assert not _same(ast.parse(old).body[0], ast.parse(new).body[0], Renames())
