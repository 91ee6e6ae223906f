"""Methods of models, as functions that take the model: ``net.fit(loader)`` is ``fit(net, loader)``.

A class of ``nn.Module`` may train itself. Its object is a model like any other, which the method calls ``self``; so for
the analysis a call of one of its methods becomes a call of a function whose name says the class, as ``Net:fit(net,
loader)``. That is the same call when the object's class is known, and nothing gives the object another method of that
name. Calls of which that is not known stay as they are.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from torchlift_convert.kept import forget
from torchlift_convert.names import access, declared_outer, flow_of, own_nodes, parameters
from torchlift_convert.syntax import is_backward

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
Scope = ast.Module | FunctionNode
# Decorators under which a method is what its body says.
_TRANSPARENT = ("torch.no_grad()", "torch.inference_mode()", "torch.no_grad", "torch.inference_mode")
# What gives the object itself.
_SAME = frozenset("to cuda cpu float double half bfloat16 train eval requires_grad_ apply".split())
# What code outside of the class calls of a module; a class that defines one of these is no plain module.
_CALLED = frozenset(
    """
    __call__ __delattr__ __dir__ __getattr__ __getattribute__ __new__ __setattr__ _apply _load_from_state_dict
    _save_to_state_dict apply buffers children cpu cuda double eval float half load_state_dict modules named_buffers
    named_children named_modules named_parameters parameters requires_grad_ state_dict to train type zero_grad
    """.split()
)


def method_functions(tree: ast.Module) -> dict[str, FunctionNode]:
    """The methods of models that train themselves, under the names that calls of them get."""
    return {f"{c.name}:{m.name}": m for c in _classes(tree).values() for m in _plain_methods(c)}


def unbind(tree: ast.Module) -> None:
    """Turn calls of such methods into calls of functions, where it is known what they call."""
    classes = _classes(tree)
    if classes:
        _Unbinder(tree, classes).run()
        forget(tree)


def spelled(call: ast.Call) -> str:
    """What a call says in the script: a name, or the path to a method."""
    if not isinstance(call.func, ast.Name):
        return ""
    _, _, method = call.func.id.partition(":")
    return f"{ast.unparse(call.args[0])}.{method}" if method else call.func.id


def _classes(tree: ast.Module) -> dict[str, ast.ClassDef]:
    """Classes of ``nn.Module`` one of whose methods trains, and whose names mean nothing else."""
    modules = _module_names(tree)
    found = [s for s in tree.body if isinstance(s, ast.ClassDef) and _trains_itself(s, modules)]
    if not found:
        return {}
    odd: list[str] = []  # what else the names may mean
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name):
                odd.append(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                odd.append(name)
            case ast.ClassDef(name=name, bases=bases):
                odd += [b.id for b in bases if isinstance(b, ast.Name)]
                odd += [] if node in found and [c.name for c in found].count(name) == 1 else [name]
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                odd += [a.asname or a.name.partition(".")[0] for a in names]
            case ast.Attribute(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()):  # ``Net.fit = ...``
                odd.append(name)
    return {c.name: c for c in found if c.name not in odd}


def _trains_itself(cls: ast.ClassDef, modules: set[str]) -> bool:
    if [ast.unparse(b) in modules for b in cls.bases] != [True] or cls.decorator_list or cls.keywords:
        return False
    defined = {s.name for s in cls.body if isinstance(s, (ast.FunctionDef, ast.AsyncFunctionDef))}
    return not defined & _CALLED and any(is_backward(n) for n in ast.walk(cls))


def _module_names(tree: ast.Module) -> set[str]:
    """What ``torch.nn.Module`` is called in a script."""
    found: set[str] = set()
    for stmt in tree.body:
        if isinstance(stmt, ast.Import):
            for a in stmt.names:
                if a.name in ("torch", "torch.nn"):
                    found.add(f"{a.asname}.nn.Module" if a.asname and a.name == "torch" else "torch.nn.Module")
                if a.name == "torch.nn" and a.asname:
                    found.add(f"{a.asname}.Module")
        elif isinstance(stmt, ast.ImportFrom) and not stmt.level:
            for a in stmt.names:
                if (stmt.module, a.name) == ("torch", "nn"):
                    found.add(f"{a.asname or 'nn'}.Module")
                elif (stmt.module, a.name) == ("torch.nn", "Module"):
                    found.add(a.asname or "Module")
    return found


def _plain_methods(cls: ast.ClassDef) -> Iterator[ast.FunctionDef]:
    methods = [s for s in cls.body if isinstance(s, ast.FunctionDef)]
    names = [s.name for s in methods]
    for one in methods:
        own = [*one.args.posonlyargs, *one.args.args]
        if names.count(one.name) == 1 and own and _is_plain(one) and not one.name.startswith("__"):
            yield one


def _is_plain(method: ast.FunctionDef) -> bool:
    return all(ast.unparse(d) in _TRANSPARENT for d in method.decorator_list)


class _Unbinder:
    """Finds the calls whose object is known."""

    def __init__(self, tree: ast.Module, classes: dict[str, ast.ClassDef]) -> None:
        self.tree, self.classes = tree, classes
        given = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and not isinstance(n.ctx, ast.Load)}
        self.methods = {c.name: {m.name: m for m in _plain_methods(c) if m.name not in given} for c in classes.values()}
        self.owner = {
            m: name for name, c in classes.items() for m in c.body if isinstance(m, ast.FunctionDef) and _is_plain(m)
        }

    def run(self) -> None:
        self._scope(self.tree, {})

    def _scope(self, scope: Scope, around: dict[str, str | None]) -> None:
        """Rewrite the calls of one scope; ``around``: the classes of the variables that it sees."""
        known = around | self._variables(scope, around)
        for node in own_nodes(scope):
            if isinstance(node, ast.Call):
                self._call(node, known)
        for inner in _scopes_in(scope):
            self._scope(inner, known)

    def _call(self, call: ast.Call, known: dict[str, str | None]) -> None:
        match call.func:
            case ast.Attribute(value=ast.Name(id=name) as root, attr=attr):
                cls = known.get(name)
                if cls is not None and attr in self.methods[cls]:
                    call.args = [root, *call.args]
                    call.func = ast.copy_location(ast.Name(f"{cls}:{attr}", ast.Load()), call.func)

    def _variables(self, scope: Scope, around: dict[str, str | None]) -> dict[str, str | None]:
        """The classes of a scope's own variables; None for one that may hold anything else."""
        outer = declared_outer(scope)
        own = _bound(scope) - outer
        found: dict[str, str | None] = dict.fromkeys(own)
        elsewhere = {n for s in ast.walk(scope) if isinstance(s, (ast.Global, ast.Nonlocal)) for n in s.names}
        for name in sorted(own - elsewhere):
            found[name] = self._class_of(name, scope, {**around, **found})
        if not isinstance(scope, ast.Module) and scope in self.owner:
            first = [*scope.args.posonlyargs, *scope.args.args][:1]
            if first and first[0].arg not in elsewhere | flow_of(scope.body).may:
                found[first[0].arg] = self.owner[scope]
        return found

    def _class_of(self, name: str, scope: Scope, known: dict[str, str | None]) -> str | None:
        """The class of what every assignment to a name gives it."""
        if not isinstance(scope, ast.Module) and name in parameters(scope.args):
            return None
        made: set[str | None] = set()
        binding = 0
        for node in own_nodes(scope):
            if isinstance(node, ast.Name) and node.id == name and not isinstance(node.ctx, ast.Load):
                binding += 1
            if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
                binding -= sum(isinstance(t, ast.Name) and t.id == name for t in node.targets)
                made.add(self._made(node.value, name, known))
        made -= {name}
        one = made.pop() if len(made) == 1 else None
        return None if binding or _bound_otherwise(scope, name) else one

    def _made(self, value: ast.expr, name: str, known: dict[str, str | None]) -> str | None:
        """The class of a value; the name itself for ``net = net.to(device)``."""
        match value:
            case ast.Call(func=ast.Name(id=cls)) if cls in self.classes:
                return cls
            case ast.Call(func=ast.Attribute(value=inner, attr=attr)) if attr in _SAME:
                return self._made(inner, name, known)
            case ast.Name(id=other):
                return name if other == name else known.get(other)
        return None


def _bound(scope: Scope) -> frozenset[str]:
    binds = frozenset[str]().union(*(access(s).binds for s in scope.body))
    return binds if isinstance(scope, ast.Module) else binds | frozenset(parameters(scope.args))


def _bound_otherwise(scope: Scope, name: str) -> bool:
    """Is a name bound by an import, a definition or a handler?"""
    for node in own_nodes(scope):
        match node:
            case ast.FunctionDef(name=held) | ast.AsyncFunctionDef(name=held) | ast.ClassDef(name=held):
                if held == name:
                    return True
            case ast.ExceptHandler(name=held) if held == name:
                return True
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                if any((a.asname or a.name.partition(".")[0]) == name for a in names):
                    return True
            case ast.MatchAs(name=held) | ast.MatchStar(name=held) if held == name:
                return True
    return False


def _scopes_in(scope: Scope) -> Iterator[FunctionNode]:
    """Functions and methods straight inside a scope."""
    stack: list[ast.AST] = list(scope.body)
    while stack:
        node = stack.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node
        elif not isinstance(node, ast.Lambda):
            stack.extend(ast.iter_child_nodes(node))
