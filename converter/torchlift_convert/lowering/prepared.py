"""What a script hands to ``prepare``, and whether a loader that fetches one batch ahead shows."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from enum import StrEnum
from functools import cached_property

from torchlift_convert.diagnostics import Refuse
from torchlift_convert.effects import Judge
from torchlift_convert.kept import walk
from torchlift_convert.program import Frame, Program, build, dotted
from torchlift_convert.syntax import parse

LOADER = ("torch.utils.data.DataLoader", "torch.utils.data.dataloader.DataLoader")
SAMPLERS = tuple(
    f"torch.utils.data.{name}"
    for name in ("RandomSampler", "SequentialSampler", "WeightedRandomSampler", "SubsetRandomSampler")
)
STILL = {  # transforms of torchvision that draw nothing
    "ToTensor", "Normalize", "Resize", "CenterCrop", "Grayscale", "PILToTensor", "ConvertImageDtype", "Pad", "ToImage",
}  # fmt: skip
SCHEDULES = "transformers.get_"
DEPTH = 8  # steps from a name to what made it


class Kind(StrEnum):
    MODEL = "model"
    OPTIMIZER = "optimizer"
    SCHEDULER = "scheduler"
    LOADER = "loader"


class Prepared:
    """What the names of a script stand for, by everything that binds them."""

    def __init__(self, text: str, tree: ast.Module, accelerator: str) -> None:
        self.text, self.tree, self.accelerator = text, tree, accelerator
        self.kinds: dict[str, Kind] = {}
        self.imports: dict[str, str] = {}
        self.bound: dict[str, list[ast.AST]] = {}
        for node in ast.walk(tree):
            self._bind(node)

    def _bind(self, node: ast.AST) -> None:
        match node:
            case ast.Import(names=names):
                for alias in names:
                    local = alias.asname or alias.name.split(".")[0]
                    self.imports[local] = alias.name if alias.asname else local
            case ast.ImportFrom(module=str(module), names=names, level=0):
                for alias in names:
                    self.imports[alias.asname or alias.name] = f"{module}.{alias.name}"
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                self.bound.setdefault(name, []).append(node)
            case ast.arg(arg=name) | ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                self.bound.setdefault(name, []).append(node)

    def library(self, expr: ast.expr) -> str | None:
        """The dotted name of something imported."""
        text = dotted(expr)
        root, _, rest = (text or "").partition(".")
        if root not in self.imports or root in self.bound:
            return None
        return self.imports[root] + (f".{rest}" if rest else "")

    def is_constant(self, name: str) -> bool:
        """Is the name bound once, at the script's top level and before any function can read it?"""
        return len(self.bound.get(name, ())) == 1 and any(value for value in self._values(name))

    def _values(self, name: str) -> Iterator[tuple[ast.expr, int | None]]:
        """What the name is bound to: an expression, and which part of it."""
        for node in ast.walk(self.tree):
            if not isinstance(node, ast.Assign):
                continue
            for target in node.targets:
                if isinstance(target, ast.Name) and target.id == name:
                    yield node.value, None
                elif isinstance(target, ast.Tuple):
                    for n, part in enumerate(target.elts):
                        if isinstance(part, ast.Name) and part.id == name:
                            yield node.value, n

    def made(self, expr: ast.expr, part: int | None = None, depth: int = 0) -> list[ast.expr] | None:
        """The expressions that make a value, names and the script's functions looked through; None: not all known."""
        if depth > DEPTH:
            return None
        out: list[ast.expr] = []
        match expr:
            case ast.Name(id=name):
                found = [(v, n) for v, n in self._values(name) if not self._is_prepare(v)]
                plain = [b for b in self.bound.get(name, ()) if not isinstance(b, ast.arg)]
                if not found or len(plain) != sum(1 for _ in self._values(name)):
                    return None
                for value, n in found:
                    made = self.made(value, n, depth + 1) if value is not expr else None
                    if made is None:
                        return None
                    out += made
                return out
            case ast.Tuple(elts=elts) if part is not None and part < len(elts):
                return self.made(elts[part], None, depth + 1)
            case ast.Call(func=ast.Attribute(value=inner, attr="to" | "cuda" | "cpu")) if part is None:
                return self.made(inner, None, depth + 1)
            case ast.Call(func=ast.Name(id=name)):
                function = self._function(name)
                if function is not None:
                    returns = [n.value for n in walk(function) if isinstance(n, ast.Return) and n.value is not None]
                    for value in returns:
                        made = self.made(value, part, depth + 1)
                        if made is None:
                            return None
                        out += made
                    return out or None
        if part is not None:
            whole = isinstance(expr, ast.Call) and self.library(expr.func) == "torch.utils.data.random_split"
            return [expr] if whole else None
        return [expr]

    def is_prepared(self, name: str) -> bool:
        """Is it what prepare() gave, in each function that takes it too?"""
        if name not in self.kinds:
            return False
        for function in (n for n in ast.walk(self.tree) if isinstance(n, (ast.FunctionDef, ast.Lambda))):
            names = [a.arg for a in ast.walk(function.args) if isinstance(a, ast.arg)]
            if name not in names:
                continue
            if isinstance(function, ast.Lambda) or function not in self.tree.body or function.args.defaults:
                return False
            calls = [n for n in ast.walk(self.tree) if isinstance(n, ast.Call) and dotted(n.func) == function.name]
            said = [n for n in ast.walk(self.tree) if isinstance(n, ast.Name) and n.id == function.name]
            if len(calls) != len(said) or not all(self._hands(call, name, names.index(name)) for call in calls):
                return False
        return True

    def _hands(self, call: ast.Call, name: str, place: int) -> bool:
        """Does a call hand over something prepared, of the kind of that name?"""
        given = [k.value for k in call.keywords if k.arg == name]
        if not given and not any(isinstance(a, ast.Starred) for a in call.args):
            given = call.args[place : place + 1]
        kind = self.kinds[name]
        return len(given) == 1 and isinstance(given[0], ast.Name) and self.kinds.get(given[0].id) is kind

    def _is_prepare(self, value: ast.expr) -> bool:
        return isinstance(value, ast.Call) and (dotted(value.func) or "").startswith(f"{self.accelerator}.prepare")

    def _function(self, name: str) -> ast.FunctionDef | None:
        found = [n for n in self.tree.body if isinstance(n, ast.FunctionDef) and n.name == name]
        return found[0] if len(found) == 1 and len(self.bound.get(name, ())) == 1 else None

    # -- kinds ----------

    def kind(self, name: ast.Name) -> Kind:
        """Raises Refuse where it is not known, or is a loader whose look ahead shows."""
        if name.id in self.kinds:
            return self.kinds[name.id]
        made = self.made(name)
        kinds = {self._kind_of(value) for value in made or ()}
        if len(kinds) != 1 or None in kinds:
            raise Refuse(
                "TL502",
                f"What {name.id} is cannot be told, and prepare() does another thing to each kind.",
                name,
                "Make models, optimizers and loaders where the script can be read: by their classes, in assignments.",
            )
        kind = kinds.pop()
        assert kind is not None
        if kind is Kind.LOADER:
            for value in made or ():
                assert isinstance(value, ast.Call)
                self._must_be_still(value, name)
        self.kinds[name.id] = kind
        return kind

    def _kind_of(self, value: ast.expr) -> Kind | None:
        if not isinstance(value, ast.Call):
            return None
        full = self.library(value.func) or ""
        if full in LOADER:
            return Kind.LOADER
        if full.startswith(("torch.optim.lr_scheduler.", SCHEDULES)):
            return Kind.SCHEDULER
        if full.startswith("torch.optim."):
            return Kind.OPTIMIZER
        if full.startswith(("torch.nn.", "torchvision.models.")) or full.endswith(".from_pretrained"):
            return Kind.MODEL
        return Kind.MODEL if isinstance(value.func, ast.Name) and self._is_module(value.func.id) else None

    def _is_module(self, name: str, depth: int = 0) -> bool:
        cls = self.program.module.classes.get(name)
        if cls is None or depth > DEPTH or len(self.bound.get(name, ())) != 1:
            return False
        return any(
            (self.library(base) or "").startswith("torch.nn.")
            or (isinstance(base, ast.Name) and self._is_module(base.id, depth + 1))
            for base in cls.bases
        )

    # -- loaders ----------

    @cached_property
    def program(self) -> Program:
        return build(parse(self.text))

    @cached_property
    def judge(self) -> Judge:
        return Judge(self.program)

    def _must_be_still(self, call: ast.Call, name: ast.Name) -> None:
        """A prepared loader asks for a batch before the one before it was used: fetching must draw nothing."""
        why = self._unsteady(call)
        if why:
            raise Refuse(
                "TL502",
                f"Accelerate's loader fetches one batch ahead of the loop, and {why}: the order of random draws and of "
                "what is printed would change.",
                call,
                f"Leave {name.id} out of prepare(), or give the loader workers (num_workers=1 or more).",
            )

    def _unsteady(self, call: ast.Call) -> str:
        given = {k.arg: k.value for k in call.keywords}
        if None in given or len(call.args) > 2:
            return "its arguments cannot be read"
        sampler = given.get("sampler")
        if "batch_sampler" in given or (sampler is not None and not self._all(sampler, SAMPLERS)):
            return "its sampler is not one of torch's"
        for cls in self.program.module.classes.values():
            if any(isinstance(s, ast.FunctionDef) and s.name == "set_epoch" for s in cls.body):
                return f"{cls.name}.set_epoch would be told of each pass"
        workers = given.get("num_workers")
        if isinstance(workers, ast.Constant) and isinstance(workers.value, int) and workers.value > 0:
            return ""
        collate = given.get("collate_fn")
        if collate is not None and not (isinstance(collate, ast.Name) and self._quiet_function(collate.id)):
            return "its collate_fn may draw"
        dataset = call.args[0] if call.args else given.get("dataset")
        return (
            ""
            if dataset is not None and self._still(dataset)
            else "fetching from its dataset may draw, print or change something"
        )

    def _all(self, expr: ast.expr, names: tuple[str, ...]) -> bool:
        made = self.made(expr) or [expr]
        return all(isinstance(m, ast.Call) and self.library(m.func) in names for m in made)

    def _quiet_function(self, name: str) -> bool:
        function = self.program.module.functions.get(name)
        return function is not None and len(self.bound[name]) == 1 and self._quiet(function)

    def _quiet(self, function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
        frame = Frame(function, self.program.module)
        found = [self.judge.of(stmt, frame) for stmt in function.body]
        if any(f.draws or f.unknown or f.writes or f.clock or f.stores for f in found):
            return False
        for node in walk(function):
            if isinstance(node, (ast.Global, ast.Nonlocal)) or (isinstance(node, ast.Expr) and _acts(node)):
                return False
            if isinstance(node, (ast.Subscript, ast.Attribute)) and not isinstance(node.ctx, ast.Load):
                return False  # it changes what may be seen from outside
        return True

    def _still(self, dataset: ast.expr, depth: int = 0) -> bool:
        """Does an item of the dataset cost no draw?"""
        made = self.made(dataset)
        if not made or depth > DEPTH:
            return False
        return all(isinstance(m, ast.Call) and self._still_made(m, depth) for m in made)

    def _still_made(self, call: ast.Call, depth: int) -> bool:
        full = self.library(call.func) or ""
        if full == "torch.utils.data.TensorDataset":
            return True
        if full in ("torch.utils.data.Subset", "torch.utils.data.random_split"):
            return bool(call.args) and self._still(call.args[0], depth + 1)
        if full.startswith("torchvision.datasets."):
            given = [k.value for k in call.keywords if k.arg in ("transform", "target_transform", "transforms")]
            return len(call.args) < 3 and all(self._still_transform(t) for t in given)
        cls = self.program.module.classes.get(call.func.id) if isinstance(call.func, ast.Name) else None
        if cls is None or len(self.bound[cls.name]) != 1 or self.judge.remembers(cls):
            return False
        bases = [self.library(base) for base in cls.bases]
        items = [s for s in cls.body if isinstance(s, ast.FunctionDef) and s.name == "__getitem__"]
        known = all(base in ("torch.utils.data.Dataset", "torch.utils.data.dataset.Dataset") for base in bases)
        return known and len(items) == 1 and self._quiet(items[0])

    def _still_transform(self, expr: ast.expr) -> bool:
        if isinstance(expr, ast.Constant) and expr.value is None:
            return True
        for made in self.made(expr) or [expr]:
            if not isinstance(made, ast.Call):
                return False
            full = self.library(made.func) or ""
            if full.endswith("transforms.Compose") and len(made.args) == 1 and isinstance(made.args[0], ast.List):
                if not all(self._still_transform(t) for t in made.args[0].elts):
                    return False
            elif not (full.startswith("torchvision.transforms.") and full.rpartition(".")[2] in STILL):
                return False
        return True


def _acts(stmt: ast.Expr) -> bool:
    return not isinstance(stmt.value, ast.Constant)


def loader_of(loop: ast.For, prepared: Prepared) -> ast.Name | None:
    """The prepared loader that a loop goes through, inside of enumerate() and progress bars."""
    inner = loop.iter
    while (
        isinstance(inner, ast.Call) and inner.args and (dotted(inner.func) or "") in ("enumerate", "tqdm", "tqdm.tqdm")
    ):
        inner = inner.args[0]
    if isinstance(inner, ast.Name) and prepared.kinds.get(inner.id) is Kind.LOADER:
        return inner
    return None


def rows(call: ast.Call, parents: dict[ast.AST, ast.AST], prepared: Prepared) -> bool:
    """Is all that is gathered a variable of the batch: as many rows as the batch has?"""
    loop: ast.AST | None = call
    while loop is not None and not isinstance(loop, ast.For):
        loop = parents.get(loop)
    if not isinstance(loop, ast.For) or loader_of(loop, prepared) is None:
        return False
    value = call.args[0]
    given = value.elts if isinstance(value, (ast.Tuple, ast.List)) else [value]
    return all(_is_row(v, loop) for v in given)


def _is_row(value: ast.expr, loop: ast.For) -> bool:
    targets = {n.id for n in ast.walk(loop.target) if isinstance(n, ast.Name)}
    stored = {n.id for s in loop.body for n in ast.walk(s) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return isinstance(value, ast.Name) and value.id in targets - stored
