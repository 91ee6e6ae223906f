"""The classes, Trainers and entry calls of a script, each tied to the names that it stands for at the call."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from torchlift_convert.diagnostics import Refuse
from torchlift_convert.eject.records import Class, Entry, Function, TrainerCall
from torchlift_convert.eject.words import ENTRIES, lightning_name
from torchlift_convert.names import access, parameters
from torchlift_convert.program import Program
from torchlift_convert.reserved import unique

Scope = ast.Module | Function


@dataclass(frozen=True, eq=False)
class Found:
    classes: dict[str, Class]
    entries: tuple[Entry, ...]
    trainers: tuple[TrainerCall, ...]


def find(program: Program) -> Found:
    """Everything of Lightning in a script.

    Raises:
        Refuse: a class, a Trainer or a call is of a form that cannot be followed.
    """
    finder = Finder(program)
    entries = tuple(finder.entries())
    return Found(finder.classes, entries, tuple(finder.trainers.values()))


def scopes(tree: ast.Module) -> Iterator[Scope]:
    yield tree
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            yield node


def statements_in(scope: Scope) -> Iterator[ast.stmt]:
    """The statements that run in a scope itself, those inside its ``if`` and ``with`` included."""
    stack: list[ast.stmt] = list(reversed(scope.body))
    while stack:
        stmt = stack.pop()
        yield stmt
        if not isinstance(stmt, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            inner = [c for c in ast.walk(stmt) if isinstance(c, ast.stmt) and c is not stmt]
            direct = [c for c in inner if not any(c in ast.walk(o) for o in inner if o is not c)]
            stack += sorted(direct, key=lambda s: -s.lineno)


class Finder:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.tree = program.script.tree
        self.classes = self._classes()
        self.trainers: dict[ast.Call, TrainerCall] = {}

    def _classes(self) -> dict[str, Class]:
        found: dict[str, Class] = {}
        for node in ast.walk(self.tree):
            if not isinstance(node, ast.ClassDef):
                continue
            bases = [lightning_name(b, self.program) for b in node.bases]
            kinds = [b for b in bases if b in ("LightningModule", "LightningDataModule")]
            if any(isinstance(b, ast.Name) and b.id in found for b in node.bases):
                raise Refuse(
                    "TL801",
                    f"The class '{node.name}' derives from another Lightning class of the script: which of their hooks"
                    " runs is decided while running.",
                    node,
                    "Write both as one class.",
                )
            if not kinds:
                continue
            if len(node.bases) > 1 or node not in self.tree.body or node.decorator_list:
                raise Refuse(
                    "TL801",
                    f"The class '{node.name}' has several bases, a decorator, or stands inside something else.",
                    node,
                    "Make it a class at module level with LightningModule as its only base.",
                )
            found[node.name] = Class(node, kinds[0] == "LightningDataModule")
        return found

    def entries(self) -> Iterator[Entry]:
        for scope in scopes(self.tree):
            for stmt in statements_in(scope):
                for call in self._calls(stmt):
                    trainer = self._trainer(call.func, scope)  # type: ignore[arg-type]
                    if trainer is not None:
                        yield self._entry(call, stmt, scope, trainer)

    def _calls(self, stmt: ast.stmt) -> Iterator[ast.Call]:
        """The entry calls of a statement itself."""
        if isinstance(stmt, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            return
        own = ast.iter_child_nodes(stmt)
        for node in (n for c in own if not isinstance(c, (ast.stmt, ast.ExceptHandler)) for n in ast.walk(c)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ENTRIES:
                yield node

    def _trainer(self, func: ast.Attribute, scope: Scope) -> TrainerCall | None:
        """The Trainer that an entry is called on; None when that is no Trainer."""
        value = func.value
        if isinstance(value, ast.Call) and lightning_name(value.func, self.program) == "Trainer":
            return self.trainers.setdefault(value, TrainerCall(value, None, ""))
        if not isinstance(value, ast.Name):
            return None
        made = self._made(value.id, scope)
        if made is None or not isinstance(made.value, ast.Call):
            self._check_no_trainer(value)
            return None
        if lightning_name(made.value.func, self.program) != "Trainer":
            return None
        return self.trainers.setdefault(made.value, TrainerCall(made.value, made, value.id))

    def _check_no_trainer(self, name: ast.Name) -> None:
        """A variable that holds a Trainer made elsewhere, or one of several."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                if lightning_name(node.value.func, self.program) == "Trainer":
                    if any(isinstance(t, ast.Name) and t.id == name.id for t in node.targets):
                        raise Refuse(
                            "TL803",
                            f"Which Trainer '{name.id}' is cannot be told here.",
                            name,
                            "Make the Trainer once, in the function that calls it.",
                        )

    def _made(self, name: str, scope: Scope) -> ast.Assign | None:
        """The one assignment of a variable, in the scope or at module level."""
        for place in dict.fromkeys((scope, self.tree)):
            if isinstance(place, ast.FunctionDef) and name in parameters(place.args):
                return None
            binding = [s for s in statements_in(place) if _binds(s, name)]
            if binding:
                only = binding[0]
                plain = len(binding) == 1 and isinstance(only, ast.Assign)
                plain = plain and len(only.targets) == 1 and isinstance(only.targets[0], ast.Name)  # type: ignore[attr-defined]
                return only if plain else None  # type: ignore[return-value]
        return None

    def _class_of(self, expr: ast.expr, scope: Scope, seen: frozenset[str] = frozenset()) -> Class | None:
        """The class of the script that an expression is an object of."""
        if isinstance(expr, ast.Call) and isinstance(expr.func, ast.Name):
            return self.classes.get(expr.func.id)
        if isinstance(expr, ast.Name) and expr.id not in seen:
            made = self._made(expr.id, scope)
            return None if made is None else self._class_of(made.value, scope, seen | {expr.id})
        return None

    def _entry(self, call: ast.Call, stmt: ast.stmt, scope: Scope, trainer: TrainerCall) -> Entry:
        kind = call.func.attr  # type: ignore[attr-defined]
        assert isinstance(kind, str)
        given = self._arguments(call, kind)
        plain = isinstance(stmt, ast.Expr) and stmt.value is call
        if not plain:
            raise Refuse(
                "TL803",
                f"What Trainer.{kind} returns is used, or the call is part of a larger expression.",
                call,
                "Call it in a statement of its own, and read the values from attributes that a hook sets.",
            )
        checkpoint = given.get("ckpt_path")
        if checkpoint is not None and not (isinstance(checkpoint, ast.Constant) and checkpoint.value is None):
            raise Refuse(
                "TL806",
                f"Trainer.{kind} goes on from a checkpoint file, whose format is Lightning's.",
                checkpoint,
                "Load what is needed with torch.load before the call, and leave ckpt_path out.",
            )
        model = given.get("model")
        if model is None:
            raise Refuse("TL803", f"Trainer.{kind} is called without its model.", call, "Hand it the model.")
        module = self._class_of(model, scope)
        if module is None or module.is_data:
            raise Refuse(
                "TL801",
                f"Of which class of this script '{ast.unparse(model)}' is cannot be told.",
                model,
                "Make the model in the same function or at module level, once, by calling its class.",
            )
        taken = {n.id for n in ast.walk(self.tree) if isinstance(n, ast.Name)}
        made: list[tuple[str, ast.expr]] = []

        def named(expr: ast.expr, wanted: str) -> str:
            if isinstance(expr, ast.Name):
                return expr.id
            made.append((unique(wanted, taken), expr))
            return made[-1][0]

        name = named(model, "model")
        datamodule, data, loaders = None, "", {}
        for key, expr in given.items():
            if key in ("model", "ckpt_path") or (isinstance(expr, ast.Constant) and expr.value is None):
                continue
            cls = self._class_of(expr, scope)
            if cls is not None and cls.is_data:
                datamodule, data = cls, named(expr, "data")
            elif key == "datamodule":
                raise Refuse(
                    "TL801",
                    f"Of which class of this script '{ast.unparse(expr)}' is cannot be told.",
                    expr,
                    "Define the LightningDataModule in this script and make it once, by calling its class.",
                )
            else:
                stage = {"train_dataloaders": "train", "val_dataloaders": "validation"}.get(key, kind)
                loaders[{"validate": "validation"}.get(stage, stage)] = expr
        return Entry(kind, stmt, call, scope, trainer, module, name, datamodule, data, tuple(made), loaders)

    def _arguments(self, call: ast.Call, kind: str) -> dict[str, ast.expr]:
        loaders = ["train_dataloaders", "val_dataloaders"] if kind == "fit" else ["dataloaders"]
        order = ["model", *loaders, "ckpt_path"] if kind == "validate" or kind == "test" else ["model", *loaders]
        known = {"model", *loaders, "datamodule", "ckpt_path", "verbose"}
        named = {k.arg: k.value for k in call.keywords}
        if any(isinstance(a, ast.Starred) for a in call.args) or not set(named) <= known or len(call.args) > len(order):
            raise Refuse(
                "TL803", f"Trainer.{kind} is called with arguments that are not known.", call, "Write them out by name."
            )
        given = dict(zip(order, call.args)) | {k: v for k, v in named.items() if k is not None}
        given.pop("verbose", None)
        return given


def _binds(stmt: ast.stmt, name: str) -> bool:
    if isinstance(stmt, (ast.If, ast.For, ast.While, ast.With, ast.Try)):
        head = [getattr(stmt, "target", None), *(i.optional_vars for i in getattr(stmt, "items", []))]
        return any(isinstance(n, ast.Name) and n.id == name for h in head if h for n in ast.walk(h))
    return name in access(stmt).binds
