"""What the Trainer's sanity check would leave behind, and whether every module trains when it is not evaluated."""

from __future__ import annotations

import ast

from torchlift_convert.diagnostics import Refuse
from torchlift_convert.eject.records import Entry, Function, receiver
from torchlift_convert.eject.words import MODULE_API, evaluation_hooks
from torchlift_convert.knowledge import BUILTINS, QUIET_METHODS
from torchlift_convert.names import parameters
from torchlift_convert.program import Program, dotted

_QUIET_BUT = ("torch.save", "torch.set_", "torch.load", "numpy.save", "torch.use_")
_QUIET = ("torch.", "numpy.", "math.", "torchmetrics.functional.", "torch.nn.functional.")


def check_sanity(entry: Entry, program: Program) -> None:
    """Refuse when two batches of validation before training would leave anything behind.

    Raises:
        Refuse: a validation hook prints, writes, or changes what training reads.
    """
    judge = _Sanity(entry, program)
    for name in evaluation_hooks("validation"):
        hook = entry.module.methods.get(name)
        if hook is not None:
            judge.look(hook)


class _Sanity:
    def __init__(self, entry: Entry, program: Program) -> None:
        self.entry, self.program = entry, program
        self.methods = entry.module.methods
        self.seen: set[Function] = set()
        self.hooks = [self.methods[n] for n in evaluation_hooks("validation") if n in self.methods]
        self.fresh = self._fresh()

    def _refuse(self, node: ast.stmt | ast.expr, why: str) -> Refuse:
        return Refuse(
            "TL809",
            f"The sanity check runs validation before training, and this {why}: it would happen twice more than in a"
            " plain loop.",
            node,
            "Say Trainer(num_sanity_val_steps=0).",
        )

    def _fresh(self) -> set[str]:
        """Attributes of validation alone: made anew when it starts, or emptied when it ends."""
        elsewhere = {
            n.attr
            for n in ast.walk(self.program.script.tree)
            if isinstance(n, ast.Attribute) and not any(n in ast.walk(h) for h in self.hooks)
        }
        init = self.methods.get("__init__")
        made: dict[str, str] = {}
        for stmt in init.body if init else []:
            if isinstance(stmt, ast.Assign) and isinstance(stmt.targets[0], ast.Attribute):
                made[stmt.targets[0].attr] = ast.unparse(stmt.value)
        found: set[str] = set()
        for name in ("on_validation_start", "on_validation_epoch_start"):
            for stmt in self.methods[name].body if name in self.methods else []:
                for target in stmt.targets if isinstance(stmt, ast.Assign) else []:
                    parts = target.elts if isinstance(target, ast.Tuple) else [target]
                    found |= {p.attr for p in parts if isinstance(p, ast.Attribute)} - elsewhere
        for name in ("on_validation_epoch_end", "on_validation_end"):
            for stmt in self.methods[name].body if name in self.methods else []:
                attr = _emptied(stmt, made)
                inits = [n for n in ast.walk(init) if isinstance(n, ast.Attribute) and n.attr == attr] if init else []
                others = [
                    n
                    for n in ast.walk(self.program.script.tree)
                    if isinstance(n, ast.Attribute) and n.attr == attr and n not in inits
                ]
                if attr is not None and all(any(n in ast.walk(h) for h in self.hooks) for n in others):
                    found.add(attr)
        return found

    def look(self, func: Function) -> None:
        if func in self.seen:
            return
        self.seen.add(func)
        own = receiver(func) if func in self.methods.values() else None
        for node in ast.walk(func):
            if isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, (ast.Store, ast.Del)):
                root = _root(node)
                if own is None or root[0] != own:
                    if root[0] not in _local(func):
                        raise self._refuse(node, f"changes '{ast.unparse(node)}'")
                elif root[1] not in self.fresh:
                    raise self._refuse(node, f"changes '{ast.unparse(node)}'")
            elif isinstance(node, (ast.Global, ast.Nonlocal)):
                raise self._refuse(node, "binds names of the script")
            elif isinstance(node, ast.Call):
                self._call(node, func, own)

    def _call(self, call: ast.Call, func: Function, own: str | None) -> None:
        name = self.program.canonical(call.func, self.program.module)
        if isinstance(call.func, ast.Name):
            if call.func.id == own or (call.func.id in BUILTINS and call.func.id not in ("setattr", "open", "input")):
                return
            target = self.program.module.function(call.func.id)
            if target is not None and isinstance(target[0], ast.FunctionDef):
                self.look(target[0])
                return
        if name is not None and name.startswith(_QUIET) and not name.startswith(_QUIET_BUT):
            return
        path = dotted(call.func)
        if own is not None and path is not None and path.startswith(f"{own}."):
            rest = path.partition(".")[2]
            if rest in self.methods:
                self.look(self.methods[rest])
                return
            if rest in ("log", "log_dict") or rest.partition(".")[0] in ("trainer",):
                return
            if rest in MODULE_API:
                raise self._refuse(call, f"calls '{path}'")
            head, _, last = rest.rpartition(".")
            if head in self.fresh or (not head and self._is_module(rest)):
                return
            if head and last in QUIET_METHODS - {"append", "extend", "pop", "update", "insert", "clear", "setdefault"}:
                return
            raise self._refuse(call, f"calls '{path}', which may remember it")
        if isinstance(call.func, ast.Attribute) and call.func.attr in QUIET_METHODS | {"super", "mean", "sum"}:
            root = _root(call.func)
            if root[0] in _local(func) or root[0] is None:
                return
        if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Call):
            return
        raise self._refuse(call, f"calls '{ast.unparse(call.func)}'")

    def _is_module(self, attr: str) -> bool:
        """Is an attribute a layer, a loss or a function, which remember nothing in evaluation mode?"""
        init = self.methods.get("__init__")
        for stmt in ast.walk(init) if init else []:
            if isinstance(stmt, ast.Assign) and any(
                isinstance(t, ast.Attribute) and t.attr == attr for t in stmt.targets
            ):
                if isinstance(stmt.value, ast.Call):
                    name = self.program.canonical(stmt.value.func, self.program.module) or ""
                    return not name.startswith("torchmetrics")
        return True


def _root(node: ast.expr) -> tuple[str | None, str]:
    """The name that an expression hangs on, and the first attribute behind it."""
    first = ""
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        if isinstance(node, ast.Attribute):
            first = node.attr
        node = node.func if isinstance(node, ast.Call) else node.value
    return (node.id if isinstance(node, ast.Name) else None), first


def _local(func: Function) -> set[str]:
    return {n.id for n in ast.walk(func) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)} | set(
        parameters(func.args)[1:]
    )


def _emptied(stmt: ast.stmt, made: dict[str, str]) -> str | None:
    """The attribute that a statement puts back to what it was in the beginning."""
    if isinstance(stmt, ast.Expr) and isinstance(stmt.value, ast.Call) and isinstance(stmt.value.func, ast.Attribute):
        inner = stmt.value.func.value
        if (
            stmt.value.func.attr == "clear"
            and isinstance(inner, ast.Attribute)
            and made.get(inner.attr) in ("[]", "{}")
        ):
            return inner.attr
    if isinstance(stmt, ast.Assign) and isinstance(stmt.targets[0], ast.Attribute):
        attr = stmt.targets[0].attr
        if made.get(attr) == ast.unparse(stmt.value) and _is_literal(stmt.value):
            return attr
    return None


def _is_literal(expr: ast.expr) -> bool:
    try:
        ast.literal_eval(expr)
    except ValueError:
        return False
    return True


def modes_known(entry: Entry, program: Program) -> bool:
    """Is every module of the model in training mode at the start, and put into another one by nobody?"""
    script = program.script
    for node in ast.walk(script.tree):
        if isinstance(node, ast.Attribute) and node.attr == "eval":
            return False
        if isinstance(node, ast.Attribute) and node.attr == "training" and not isinstance(node.ctx, ast.Load):
            return False
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr == "train" and (node.args or node.keywords):
                return False
            if node.func.attr in ("from_pretrained", "load", "freeze"):
                name = program.canonical(node.func, program.module) or ""
                if name.startswith("torch.load"):
                    continue
                return False
    roots = {full.partition(".")[0] for full in program.imports.values()}
    return not roots & {"transformers", "timm", "torchvision", "segmentation_models_pytorch", "peft"}
