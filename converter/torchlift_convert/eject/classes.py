"""The classes without Lightning: a torch.nn.Module, and a plain class that holds the data."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import libcst as cst

from torchlift_convert.diagnostics import Refuse
from torchlift_convert.eject.records import Class, Function, receiver
from torchlift_convert.eject.rewriting import Rewriter, Statements, Wording, comment_lines
from torchlift_convert.eject.words import FOREIGN_HOOKS, MODULE_API, MODULE_NAMES
from torchlift_convert.names import parameters
from torchlift_convert.program import Program, dotted
from torchlift_convert.reserved import unique
from torchlift_convert.rewrite import Origins


@dataclass(eq=False)
class ClassWriter:
    """Rewrites one class.

    ``gone``: methods that stand in loops now. ``kept_setup``: the DataModule's guard against a second ``setup`` may go.
    """

    cls: Class
    program: Program
    origins: Origins
    gone: set[str]
    base: str
    hparams: dict[str, str]
    set_up_once: bool
    comments: list[cst.EmptyLine] = field(default_factory=list)

    def write(self) -> cst.ClassDef:
        script = self.program.script
        self._check_hyperparameters()
        statements: dict[int, Statements] = {}
        wording = Wording()
        for name, method in self.cls.methods.items():
            node = script.node[method]
            if name in self.gone:
                statements[id(node)] = []
                continue
            self._check(method)
            own = receiver(method)
            wording.paths |= {f"{own}.hparams.{n}": f"{own}.{a}" for n, a in self.hparams.items()}
            wording.calls[f"{own}.print"] = lambda call: call.with_changes(func=cst.Name("print"))
            if not self.cls.is_data:
                wording.paths[f"{own}.device"] = f"next({own}.parameters()).device"
            statements |= self._inside(method)
        node = script.node[self.cls.node]
        assert isinstance(node, cst.ClassDef)
        new = node.visit(Rewriter(wording, self.origins, statements))
        assert isinstance(new, cst.ClassDef)
        bases = [cst.Arg(cst.parse_expression(self.base))] if self.base else []
        parens = {"lpar": cst.MaybeSentinel.DEFAULT, "rpar": cst.MaybeSentinel.DEFAULT}
        new = new.with_changes(bases=bases, **parens)
        new = new.with_changes(body=new.body.with_changes(body=_tidy(list(new.body.body))))
        self.origins.record(new, self.cls.node)
        return new

    def _inside(self, method: Function) -> dict[int, Statements]:
        """Statements of a method that go or change."""
        script, own = self.program.script, receiver(method)
        found: dict[int, Statements] = {}

        def put(stmt: ast.stmt, nodes: Statements) -> None:
            line = script.line.get(stmt)
            where = line if line is not None and len(line.body) == 1 else script.node[stmt]
            if nodes and line is not None:
                nodes = [nodes[0].with_changes(leading_lines=line.leading_lines), *nodes[1:]]
            found[id(where)] = nodes

        for stmt in ast.walk(method):
            if isinstance(stmt, ast.Expr) and isinstance(stmt.value, ast.Call):
                name = dotted(stmt.value.func)
                if name == f"{own}.save_hyperparameters":
                    put(stmt, self._hyperparameters(stmt.value, method))
                elif self.cls.is_data and _calls_super(stmt.value):
                    put(stmt, [])
            elif isinstance(stmt, ast.Assign):
                if any(dotted(t) == f"{own}.automatic_optimization" for t in stmt.targets):
                    put(stmt, [])
        if self.cls.is_data and method.name == "setup" and self.set_up_once:
            guard = method.body[0]
            if is_guard(guard):
                put(guard, [])
        return found

    def _hyperparameters(self, call: ast.Call, method: Function) -> Statements:
        """``self.save_hyperparameters()`` -> an attribute for each one that is read."""
        if any(not (isinstance(a, ast.Constant) and isinstance(a.value, str)) for a in call.args):
            raise Refuse(
                "TL805",
                "These hyperparameters come from an object that is made elsewhere.",
                call,
                "Call self.save_hyperparameters() without arguments, and take what is needed as arguments.",
            )
        own = receiver(method)
        names = list(parameters(method.args)[1:])
        for extra in (method.args.vararg, method.args.kwarg):
            if extra is not None and extra.arg in names:
                names.remove(extra.arg)
        there = {
            t.attr
            for s in ast.walk(method)
            if isinstance(s, ast.Assign) and isinstance(s.value, ast.Name)
            for t in s.targets
            if isinstance(t, ast.Attribute) and t.attr == s.value.id and dotted(t.value) == own
        }
        return [
            cst.ensure_type(cst.parse_statement(f"{own}.{self.hparams[n]} = {n}"), cst.SimpleStatementLine)
            for n in names
            if n in self.hparams and not (n in there and self.hparams[n] == n)
        ]

    def _check_hyperparameters(self) -> None:
        """What is read from ``self.hparams`` has to be an argument of ``__init__`` that is saved there."""
        init = self.cls.init
        saved = init is not None and any(
            isinstance(n, ast.Attribute) and n.attr == "save_hyperparameters" for n in ast.walk(init)
        )
        names = set(parameters(init.args)) if init is not None and saved else set()
        if init is not None:
            names -= {a.arg for a in (init.args.vararg, init.args.kwarg) if a is not None}
        for node in ast.walk(self.cls.node):
            if isinstance(node, ast.Attribute) and (dotted(node.value) or "").endswith(".hparams"):
                if node.attr not in names:
                    raise Refuse(
                        "TL805",
                        f"Where '{ast.unparse(node)}' comes from cannot be told.",
                        node,
                        f"Make {node.attr} an argument of __init__, which calls self.save_hyperparameters().",
                    )

    def _check(self, method: Function) -> None:
        """A method that stays must not need Lightning."""
        own = receiver(method)
        if not self.cls.is_data and method.name in FOREIGN_HOOKS:
            raise Refuse(
                "TL805",
                f"The hook {method.name} changes what the Trainer does; a plain loop has no place for it.",
                method,
                "Do the same in training_step, with automatic_optimization = False if need be.",
            )
        for node in ast.walk(method):
            if not isinstance(node, ast.Attribute) or dotted(node.value) != own:
                continue
            if isinstance(node.ctx, ast.Store) and node.attr in ("automatic_optimization", "example_input_array"):
                continue
            known = ("hparams", "print", "save_hyperparameters") + (() if self.cls.is_data else ("device",))
            if node.attr in MODULE_API and node.attr not in known and node.attr not in self.cls.methods:
                if self.cls.is_data and node.attr != "trainer":
                    continue
                raise Refuse(
                    "TL805",
                    f"'{ast.unparse(node)}' in {self.cls.node.name}.{method.name} needs Lightning, and the method"
                    " stays one.",
                    node,
                    "Write this part in the hook that calls the method.",
                )


def is_guard(stmt: ast.stmt) -> bool:
    """``if hasattr(self, "train_set"): return``, as ``torchlift convert`` writes it."""
    return (
        isinstance(stmt, ast.If)
        and isinstance(stmt.test, ast.Call)
        and dotted(stmt.test.func) == "hasattr"
        and len(stmt.body) == 1
        and isinstance(stmt.body[0], ast.Return)
        and not stmt.orelse
    )


def _calls_super(call: ast.Call) -> bool:
    func = call.func
    return isinstance(func, ast.Attribute) and isinstance(func.value, ast.Call) and dotted(func.value.func) == "super"


def _tidy(body: Sequence[cst.CSTNode]) -> list[cst.CSTNode]:
    """No ``__init__`` that does nothing, and no empty class."""
    kept = [s for s in body if not _is_empty_init(s)]
    return kept or [cst.ensure_type(cst.parse_statement("pass"), cst.SimpleStatementLine)]


def _is_empty_init(stmt: cst.CSTNode) -> bool:
    if not (isinstance(stmt, cst.FunctionDef) and stmt.name.value == "__init__" and len(stmt.params.params) == 1):
        return False
    lines = [s for s in stmt.body.body if isinstance(s, cst.SimpleStatementLine)]
    return (
        len(lines) == len(stmt.body.body) == 1 and isinstance(lines[0].body[0], cst.Pass) and not comment_lines([stmt])
    )


def hparams_read(tree: ast.Module, classes: Iterable[Class]) -> dict[str, str]:
    """Names that are read from any object's ``hparams``, and the attribute that each one becomes.

    Raises:
        Refuse: hyperparameters are used as a whole.
    """
    plain: set[ast.AST] = set()
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "hparams":
            found.add(node.attr)
            plain.add(node.value)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == "hparams" and node not in plain:
            raise Refuse(
                "TL805", "The hyperparameters are used as a whole.", node, "Read each one by its name: self.hparams.lr."
            )
    taken = {n for cls in classes for n in _attributes(cls)} | MODULE_NAMES
    return {n: unique(n, taken, prefer="hparam") for n in sorted(found)}


def _attributes(cls: Class) -> Iterator[str]:
    """Names of a class that an attribute of the same name would hide or be hidden by."""
    yield from cls.methods
    for stmt in cls.node.body:
        if isinstance(stmt, (ast.Assign, ast.AnnAssign)):
            targets = stmt.targets if isinstance(stmt, ast.Assign) else [stmt.target]
            yield from (t.id for t in targets if isinstance(t, ast.Name))
    init = cls.init
    plain: set[ast.AST] = set()
    for stmt in init.body if init is not None else []:
        # `self.lr = lr` says the same as the hyperparameter
        if isinstance(stmt, ast.Assign) and isinstance(stmt.value, ast.Name) and len(stmt.targets) == 1:
            target = stmt.targets[0]
            if isinstance(target, ast.Attribute) and target.attr == stmt.value.id:
                plain.add(target)
    for node in ast.walk(cls.node):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node not in plain:
            yield node.attr
