"""What a name at the top level of a module means, through the imports between local modules."""

from __future__ import annotations

import ast
import builtins
from dataclasses import dataclass

from torchlift_convert.linking.library import Library, Module

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


@dataclass(frozen=True)
class Local:
    """A name of a local module. ``stmt``: the one statement that defines it; None where that is not known."""

    module: Module
    name: str
    stmt: Definition | None


@dataclass(frozen=True)
class External:
    """Something of a library. ``full``: its dotted name; ``line``: the import that gives it, but for ``as``."""

    full: str
    line: str


@dataclass(frozen=True)
class Whole:
    """A local module itself."""

    module: Module


Meaning = Local | External | Whole


@dataclass(eq=False)
class Lookup:
    """Looks names up.

    ``opaque``: names of modules whose definitions say too little, '*' for all of a module; ``patched``: those that
    something gives another value from outside.
    """

    library: Library
    opaque: set[tuple[str, str]]
    patched: frozenset[tuple[str, str]]

    def changes(self, module: Module, name: str) -> bool:
        """May the name stand for something else later on?"""
        return name in module.rebound or bool(self.patched & {(module.name, name), (module.name, "*")})

    def meaning(self, module: Module, name: str, depth: int = 0) -> Meaning | None:
        """What a name means in a module; None: a builtin, or nothing that is known."""
        binds = module.bindings.get(name, [])
        rebound = name in module.rebound
        stars = [m for s in module.stars if (m := self._by_star(module, s, name, depth)) is not None]
        if not binds and not rebound:
            if len(stars) == 1:
                return stars[0]
            if not stars:
                return self._submodule(module, name)
        unknown = Local(module, name, None)
        if len(binds) != 1 or stars or rebound or binds[0] not in module.tree.body:
            return unknown
        if (self.opaque | self.patched) & {(module.name, name), (module.name, "*")}:
            return unknown
        match binds[0]:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() as definition:
                return Local(module, name, definition)
            case ast.Assign(targets=[ast.Name()]) | ast.AnnAssign(target=ast.Name(), value=ast.expr()) as definition:
                return Local(module, name, definition)
            case ast.Assign(targets=[ast.Tuple(elts=elts)]) as definition if all(isinstance(e, ast.Name) for e in elts):
                return Local(module, name, definition)
            case ast.Import(names=aliases):
                return self._imported(next(a for a in aliases if (a.asname or a.name.partition(".")[0]) == name))
            case ast.ImportFrom(names=aliases) as stmt:
                alias = next(a for a in aliases if (a.asname or a.name) == name)
                if module.absolute(stmt) == module.name:  # ``from . import part``
                    return self._submodule(module, alias.name) or unknown
                return self.member(module.absolute(stmt), alias.name, depth) or unknown
        return unknown

    def _submodule(self, module: Module, name: str) -> Meaning | None:
        own = self.library.module(f"{module.name}.{name}") if module.package == module.name != "" else None
        return Whole(own) if own is not None else None

    def _imported(self, alias: ast.alias) -> Meaning:
        top = alias.name if alias.asname else alias.name.partition(".")[0]
        found = self.library.module(top)
        return Whole(found) if found is not None else External(top, f"import {alias.name}")

    def member(self, base: str, name: str, depth: int = 0) -> Meaning | None:
        """What ``from base import name`` gives; None when that is not known."""
        found = self.library.module(base)
        if found is None:
            inside = self.library.module(f"{base}.{name}")
            return Whole(inside) if inside is not None else External(f"{base}.{name}", f"from {base} import {name}")
        if depth > 20:
            return None
        meaning = self.meaning(found, name, depth + 1)
        if isinstance(meaning, Local) and self.changes(meaning.module, meaning.name):
            return None  # a copy of the value that it had then
        return meaning or self._submodule(found, name)

    def _by_star(self, module: Module, stmt: ast.ImportFrom, name: str, depth: int) -> Meaning | None:
        """What a name means through ``from x import *``; a library's may bind any name that is not a builtin."""
        source = self.library.module(module.absolute(stmt))
        unknown = Local(module, name, None)
        if source is None or depth > 20:
            return None if hasattr(builtins, name) else unknown
        if source.exported is not None and name not in source.exported:
            return None
        if source.exported is None and "__all__" in source.bindings:
            return unknown
        if source.exported is None and name.startswith("_"):
            return None
        meaning = self.meaning(source, name, depth + 1)
        changes = isinstance(meaning, Local) and self.changes(meaning.module, meaning.name)
        return unknown if changes else meaning
