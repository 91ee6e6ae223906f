"""Which hooks can be laid into the loop, and what their names are there."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator

from torchlift_convert.diagnostics import Refuse
from torchlift_convert.eject.records import Class, Entry, Function, receiver
from torchlift_convert.eject.words import STAGE_OF, evaluation_hooks, lightning_name
from torchlift_convert.names import access, free_names, parameters
from torchlift_convert.program import Program, dotted

_CLOSED = (ast.Lambda, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.GeneratorExp)


def hooks_of(entry: Entry, validates: bool) -> list[Function]:
    """The hooks that an entry call runs, and that the class has."""
    from torchlift_convert.eject.words import FIT_HOOKS

    names: list[str] = []
    if entry.kind == "fit":
        names = ["configure_optimizers", *FIT_HOOKS] + (list(evaluation_hooks("validation")) if validates else [])
    else:
        names = list(evaluation_hooks(STAGE_OF[entry.kind]))
    return [entry.module.methods[n] for n in names if n in entry.module.methods]


def check_layable(hook: Function) -> None:
    """A hook's statements can stand in a loop when nothing in them depends on being a function.

    Raises:
        Refuse: it returns early, is decorated, or keeps its own scope alive.
    """
    if hook.decorator_list:
        raise _refusal(hook, hook, "it is decorated")
    local = locals_of(hook)
    for node in ast.walk(hook):
        if isinstance(node, (ast.Global, ast.Nonlocal, ast.Yield, ast.YieldFrom, ast.Await)):
            raise _refusal(hook, node, f"it has '{ast.unparse(node)}'")
        if isinstance(node, _CLOSED) and node is not hook:
            read = access(node).reads if isinstance(node, ast.GeneratorExp) else free_names(node).reads
            if not isinstance(node, ast.GeneratorExp) and read & local:
                raise _refusal(hook, node, "a function inside it holds its local names")
    allowed = set(tail_returns(hook))
    if not hook.name.endswith("_step") and hook.name != "configure_optimizers":
        for one in allowed:
            if one.value is not None and not _is_none(one.value):
                raise _refusal(hook, one, "it returns a value, which the Trainer may look at")
    for node in ast.walk(hook):
        if isinstance(node, ast.Return) and node not in allowed:
            raise _refusal(hook, node, "it returns before its end")
    for name in parameters(hook.args)[1:]:
        if hook.args.vararg is not None and name == hook.args.vararg.arg:
            continue
        if any(isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Store) for n in ast.walk(hook)):
            if name != (parameters(hook.args) + ["", ""])[1]:
                raise _refusal(hook, hook, f"it binds its argument '{name}' anew")


def _refusal(hook: Function, node: ast.stmt | ast.expr, why: str) -> Refuse:
    return Refuse(
        "TL805",
        f"The hook {hook.name} cannot become part of a loop: {why}.",
        node,
        "Write it as one straight block: an if around the rest in place of an early return.",
    )


def tail_returns(hook: Function) -> Iterator[ast.Return]:
    """Returns behind which nothing of the hook would run."""
    last = hook.body[-1]
    if isinstance(last, ast.Return):
        yield last
    if hook.name.endswith("_step") or hook.name == "configure_optimizers":
        return
    stack = [last]
    while stack:
        stmt = stack.pop()
        if isinstance(stmt, ast.Return) and (stmt.value is None or _is_none(stmt.value)):
            yield stmt
        elif isinstance(stmt, ast.If):
            stack += [b[-1] for b in (stmt.body, stmt.orelse) if b]
        elif isinstance(stmt, ast.With):
            stack.append(stmt.body[-1])


def _is_none(expr: ast.expr) -> bool:
    return isinstance(expr, ast.Constant) and expr.value is None


def locals_of(hook: Function) -> frozenset[str]:
    """Names that a hook binds, its arguments left out."""
    found: set[str] = set()
    for stmt in hook.body:
        found |= access(stmt).binds
    return frozenset(found)


def globals_read(hooks: Iterable[Function]) -> frozenset[str]:
    """Names that hooks read and do not bind."""
    found: set[str] = set()
    for hook in hooks:
        found |= free_names(hook).reads
    return frozenset(found | set(dir(builtins)))


def names_of_place(scope: ast.Module | Function, tree: ast.Module) -> set[str]:
    """Names that a new one would clash with where the loop will stand."""
    found: set[str] = set()
    if isinstance(scope, ast.FunctionDef):
        found |= {n.id for n in ast.walk(scope) if isinstance(n, ast.Name)} | set(parameters(scope.args))
        found |= {n for s in scope.body for n in access(s).binds}
        return found
    for stmt in tree.body:
        found |= access(stmt).reads | access(stmt).binds
        if isinstance(stmt, (ast.If, ast.For, ast.While, ast.With, ast.Try)):
            found |= {n.id for n in ast.walk(stmt) if isinstance(n, ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            found |= free_names(node).reads
        elif isinstance(node, ast.Global):
            found |= set(node.names)
    return found


def demoted(cls: Class, laid: list[Function], tree: ast.Module, program: Program) -> set[str]:
    """Attributes that only the laid-in hooks know, first set by one of them: plain variables of the loop."""
    inside: set[ast.AST] = set()
    set_here: dict[str, list[ast.expr]] = {}
    for hook in laid:
        own = receiver(hook)
        for node in ast.walk(hook):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == own:
                inside.add(node)
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    for one, value in _pairs(target, node.value):
                        if isinstance(one, ast.Attribute) and dotted(one.value) == own:
                            set_here.setdefault(one.attr, []).append(value)
    elsewhere = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and n not in inside}
    by_name = ("getattr", "setattr", "hasattr", "delattr", "vars", "__dict__", "attrgetter")
    if any(
        (n.id if isinstance(n, ast.Name) else n.attr) in by_name
        for n in ast.walk(tree)
        if isinstance(n, (ast.Name, ast.Attribute))
    ):
        elsewhere |= {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    elsewhere |= {n for s in cls.node.body for n in access(s).binds}
    return {a for a, values in set_here.items() if a not in elsewhere and all(_plain(v, program) for v in values)}


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    if isinstance(target, ast.Tuple):
        same = isinstance(value, ast.Tuple) and len(value.elts) == len(target.elts)
        for n, one in enumerate(target.elts):
            yield from _pairs(one, value.elts[n] if same else value)  # type: ignore[attr-defined]
    else:
        yield target, value


def _plain(value: ast.expr, program: Program) -> bool:
    """Can the value be no torch module, which an attribute of a module would register?"""
    for node in ast.walk(value):
        if not isinstance(node, ast.Call):
            continue
        if lightning_name(node.func, program):
            return False
        if isinstance(node.func, ast.Name):
            cls = program.module.functions.get(node.func.id) if hasattr(program.module, "functions") else None
            made = next(
                (c for c in ast.walk(program.script.tree) if isinstance(c, ast.ClassDef) and c.name == node.func.id),
                None,
            )
            if made is not None and not made.bases and not made.decorator_list:
                continue
            if cls is None and made is None and hasattr(builtins, node.func.id):
                continue
            return False
        name = program.canonical(node.func, program.module) or ""
        last = (dotted(node.func) or ".x").rpartition(".")[2]
        if name.startswith("torch.nn.") and not name.startswith("torch.nn.functional."):
            return False
        if last[:1].isupper():
            return False
    return True


def needs_no_grad(hook: Function) -> bool:
    """May a hook compute something of the model's parameters, so that gradients matter?"""
    own = receiver(hook)
    harmless = {f"{own}.{n}" for n in ("log", "log_dict", "print", "optimizers", "lr_schedulers")}
    endings = ("state_dict", "append", "clear", "extend", "update", "item", "get_last_lr", "compute", "reset", "step")
    for node in ast.walk(hook):
        if not isinstance(node, ast.Call):
            continue
        path = dotted(node.func)
        if path == own or (path is not None and path.startswith(f"{own}.")):
            if path not in harmless and path.rpartition(".")[2] not in endings:
                return True
            continue
        if isinstance(node.func, ast.Name) and not hasattr(builtins, node.func.id):
            if any(isinstance(n, ast.Name) and n.id == own for a in node.args for n in ast.walk(a)):
                return True
    return False
