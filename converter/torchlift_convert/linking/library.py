"""The modules of a project, found as Python finds them, and what each of them binds at its top level."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from torchlift_convert.syntax import Unreadable, blocks_of, decode, python_tree

Read = Callable[[str], bytes | None]
"""A file of the project by its path from the project's root (with slashes); None where there is none."""


@dataclass(eq=False)
class Module:
    """A local module. ``name``: by which the script's process knows it; ``package``: the one it stands in, or is."""

    name: str
    path: str
    package: str
    text: str
    tree: ast.Module

    @cached_property
    def bindings(self) -> dict[str, list[ast.stmt]]:
        """The statements that bind each name when the module is imported."""
        found: dict[str, list[ast.stmt]] = {}
        for stmt in importing(self.tree.body):
            for name in bound_by(stmt):
                found.setdefault(name, []).append(stmt)
        return found

    @cached_property
    def rebound(self) -> frozenset[str]:
        """Names that a function of the module binds by ``global``."""
        return frozenset(n for s in ast.walk(self.tree) if isinstance(s, ast.Global) for n in s.names)

    @cached_property
    def stars(self) -> list[ast.ImportFrom]:
        return [s for s in importing(self.tree.body) if isinstance(s, ast.ImportFrom) and s.names[0].name == "*"]

    @cached_property
    def exported(self) -> frozenset[str] | None:
        """The names in ``__all__``; None where there is none, or it is not written out."""
        match self.bindings.get("__all__", []):
            case [ast.Assign(value=ast.List(elts=elts) | ast.Tuple(elts=elts))]:
                return frozenset(e.value for e in elts if isinstance(e, ast.Constant) and isinstance(e.value, str))
        return None

    def absolute(self, stmt: ast.ImportFrom) -> str:
        """The dotted name of the module that an import asks for."""
        if not stmt.level:
            return stmt.module or ""
        parts = self.package.split(".") if self.package else []
        base = parts[: len(parts) - stmt.level + 1] if stmt.level <= len(parts) else ["?"]
        return ".".join([*base, *([stmt.module] if stmt.module else [])])


def importing(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run when a module is imported, outer before inner."""
    for stmt in body:
        if is_guard(stmt):
            continue
        yield stmt
        if not isinstance(stmt, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            for block in blocks_of(stmt):
                yield from importing(block)


def is_guard(stmt: ast.stmt) -> bool:
    """``if __name__ == "__main__":``"""
    return isinstance(stmt, ast.If) and any(isinstance(n, ast.Name) and n.id == "__name__" for n in ast.walk(stmt.test))


def bound_by(stmt: ast.stmt) -> list[str]:
    """Names that one statement (not those inside it) binds."""
    match stmt:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [stmt.name]
        case ast.Import():
            return [a.asname or a.name.partition(".")[0] for a in stmt.names]
        case ast.ImportFrom():
            return [a.asname or a.name for a in stmt.names]
        case ast.If() | ast.While() | ast.Try() | ast.Match():
            heads: list[ast.AST] = [n for n in ast.iter_child_nodes(stmt) if isinstance(n, ast.expr)]
        case ast.For() | ast.AsyncFor():
            heads = [stmt.target, stmt.iter]
        case ast.With() | ast.AsyncWith():
            heads = list(stmt.items)
        case _:
            heads = [stmt]
    return [n.id for h in heads for n in ast.walk(h) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)]


@dataclass(eq=False)
class Library:
    """The modules below a project's root. ``roots``: folders in which imports are looked up, in order."""

    read: Read
    roots: tuple[str, ...]
    script: str  # the script's own path: imported by a module, it would run twice
    held: dict[str, Module | None] = field(default_factory=dict)

    def module(self, name: str) -> Module | None:
        """A local module by its dotted name; None: it comes from elsewhere, or cannot be read."""
        if name not in self.held:
            self.held[name] = self._find(name)
        return self.held[name]

    def _find(self, name: str) -> Module | None:
        parts = name.split(".")
        if not all(p.isidentifier() for p in parts):
            return None
        root = self._root_of(parts[0])
        if parts[0] in sys.stdlib_module_names:  # which of the two is imported is not known here
            known = root is None or parts[0] in sys.builtin_module_names
            return None if known else Module(name, f"{name.replace('.', '/')}.py", "", "", ast.Module([], []))
        if len(parts) > 1 and self.module(parts[0]) is None and root is not None:
            return None
        for folder in self.roots if root is None else [root]:
            base = "/".join([*([folder] if folder else []), *parts])
            for path, package in ((f"{base}/__init__.py", name), (f"{base}.py", ".".join(parts[:-1]))):
                data = self.read(path)
                if data is not None:
                    return None if path == self.script else self._parsed(name, path, package, data)
        return None

    def _root_of(self, top: str) -> str | None:
        """The root that a top-level module or package is found in; None: in none, or it is a folder of modules."""
        for root in self.roots:
            base = f"{root}/{top}" if root else top
            if self.read(f"{base}/__init__.py") is not None or self.read(f"{base}.py") is not None:
                return root
        return None

    @staticmethod
    def _parsed(name: str, path: str, package: str, data: bytes) -> Module | None:
        try:
            text = decode(data)
            return Module(name, path, package, text, python_tree(text))
        except Unreadable:
            return None

    def imported(self, module: Module, stmts: list[ast.stmt]) -> Iterator[tuple[ast.stmt, Module]]:
        """The local modules that import statements of a module load, packages before what is in them."""
        for stmt in stmts:
            for name in wanted(module, stmt):
                parts = name.split(".")
                for n in range(1, len(parts) + 1):
                    found = self.module(".".join(parts[:n]))
                    if found is not None:
                        yield stmt, found


def wanted(module: Module, stmt: ast.stmt) -> list[str]:
    """Dotted names that an import statement may load."""
    match stmt:
        case ast.Import(names=names):
            return [a.name for a in names]
        case ast.ImportFrom(names=names):
            base = module.absolute(stmt)
            return [base, *(f"{base}.{a.name}" for a in names if a.name != "*")]
    return []
