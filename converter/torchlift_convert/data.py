"""Tell the data apart: the statements that make datasets and loaders become a LightningDataModule.

Starting from the loaders, the backward slice over the statements before the loops is taken, down to numbers and
options, which become the DataModule's parameters. The group is made at one place of the original program order, chosen
so that no statement overtakes another one with which it does not commute.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from torchlift_convert import facts as F
from torchlift_convert.definitions import assigned
from torchlift_convert.devices import moves
from torchlift_convert.effects import Judge
from torchlift_convert.kept import forget, walk
from torchlift_convert.nest import Nest
from torchlift_convert.program import Frame, Item, Program, Var, item_flow
from torchlift_convert.recognisers import fact_of, facts_of
from torchlift_convert.references import references
from torchlift_convert.roles import Roles
from torchlift_convert.values import Values


class NotApart(Exception):
    """Why the data cannot be told apart, and the statement that shows it."""

    def __init__(self, why: str, stmt: ast.stmt) -> None:
        super().__init__(why)
        self.why, self.stmt = why, stmt


@dataclass(eq=False)
class Slice:
    """The statements before the loops that make the data, and the variables that they make."""

    statements: dict[ast.stmt, None] = field(default_factory=dict)
    variables: set[Var] = field(default_factory=set)
    options: dict[tuple[Var, str | None], None] = field(default_factory=dict)


@dataclass(eq=False)
class DataSlicer:
    """Takes the backward slice of the loaders."""

    program: Program
    nest: Nest
    roles: Roles
    judge: Judge
    values: Values
    fixed: frozenset[Var]  # variables that the nest binds

    def slice(self, seeds: list[Var]) -> Slice:
        """The slice that makes the seeds; NotApart when it touches a model, an optimizer or the loops."""
        out = Slice()
        work = list(seeds)
        while work:
            var = work.pop()
            if var in out.variables:
                continue
            out.variables.add(var)
            stmts = self._makers(var)
            if not stmts and var not in seeds and var not in self.fixed:
                out.variables.discard(var)
                out.options[(var, None)] = None  # it is made elsewhere: an argument
                continue
            if not stmts:
                raise NotApart(f"'{var.name}' is not made before the loops", self.nest.outer)
            for stmt in stmts:
                work += self._take(stmt, out)
        order = {s: n for n, s in enumerate(self.nest.pre)}
        out.statements = dict.fromkeys(sorted(out.statements, key=order.__getitem__))
        return out

    def _makers(self, var: Var) -> list[ast.stmt]:
        return [s for s in self.nest.pre if var in self.judge.changes(Item(s, self.nest.home))]

    def _take(self, stmt: ast.stmt, out: Slice) -> list[Var]:
        if stmt in out.statements:
            return []
        item = Item(stmt, self.nest.home)
        if isinstance(stmt, (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)):
            return []
        trained = {*self.roles.models, *self.roles.optimizers, *self.roles.schedulers}
        changes = self.judge.changes(item)
        if (changes | self.judge.reads(item)) & trained or changes & (self.fixed | self.roles.namespaces):
            raise NotApart("the statement that makes the data also touches the model, the optimizer or the loops", stmt)
        if self._prints(stmt):
            raise NotApart("the statement that makes the data also prints", stmt)
        out.statements[stmt] = None
        made = item_flow(item).may
        work = [v for v in made if v not in out.variables]
        for reference in references(
            without_moves(stmt, self.nest.home, self.roles, self.program), self.nest.home, self.roles
        ):
            var, attr = reference
            if self.is_outside(var):
                continue
            if var in made:  # by this very statement, as what a loop counts with
                continue
            if attr is not None or self.values.portable_scalar(var) or var in self.roles.namespaces:
                out.options[reference] = None
            else:
                work.append(var)
        return work

    def is_outside(self, var: Var) -> bool:
        """Builtins, imports, functions, classes and names of another scope: read as they are anywhere."""
        if var.frame is None or var.frame is not self.nest.home:
            return True
        if var.name in self.program.imports and not self.roles.definitions.get(var):
            return True
        if self.program.is_linked(var):
            return True
        return var.name in var.frame.functions or var.name in var.frame.classes

    def _prints(self, stmt: ast.stmt) -> bool:
        return any(
            isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == "print" for n in walk(stmt)
        )


def without_moves(stmt: ast.stmt, frame: Frame, roles: Roles, program: Program) -> ast.stmt:
    """The statement with ``x.to(device)`` read as ``x``: the Trainer moves what it is given."""
    import copy

    class Strip(ast.NodeTransformer):
        def visit_Call(self, node: ast.Call) -> ast.AST:
            gone = moves(fact_of(node, frame, program), frame, roles, program)
            self.generic_visit(node)
            if gone:
                return node.func.value if isinstance(node.func, ast.Attribute) else node
            return node

    if not any(isinstance(f, F.Move) for f in facts_of(stmt, frame, program)):
        return stmt
    return forget(Strip().visit(copy.deepcopy(stmt)))


def loader_call(
    var: Var, statements: dict[ast.stmt, None], nest: Nest, program: Program
) -> tuple[ast.stmt, ast.expr] | None:
    """The one ``loader = DataLoader(...)`` of a variable, when that is a statement of its own."""
    found: list[tuple[ast.stmt, ast.expr]] = []
    for stmt in statements:
        for bound, value in assigned(stmt, nest.home):
            if bound == var and isinstance(stmt, ast.Assign) and len(stmt.targets) == 1 and value is not None:
                if isinstance(stmt.targets[0], ast.Name) and isinstance(value, ast.Call):
                    if isinstance(fact_of(value, nest.home, program), F.MakesLoader):
                        found.append((stmt, value))
    changing = [s for s in statements if any(v == var for v, _ in assigned(s, nest.home))]
    return found[0] if len(found) == 1 and len(changing) == 1 else None
