"""The walls between the packages and the absence of import cycles, read from the source of every module.

An import counts wherever it stands, in a function too, and so does `import_module("name")`. Only what stands under
`if TYPE_CHECKING:` is free of the cycle rule, because it never runs; the walls hold there as well.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PACKAGES = {
    "torchlift_convert": REPOSITORY / "converter",
    "torchlift": REPOSITORY / "runtime",
    "torchlift_templates": REPOSITORY / "templates",
}
# What a package must not import, by the first part of the dotted name.
FORBIDDEN = {
    "torchlift_convert": {"torchlift", "torch", "lightning", "pytorch_lightning", "lightning_fabric", "numpy"},
    "torchlift": {"torchlift_convert", "torchlift_templates", "lightning", "pytorch_lightning", "lightning_fabric"},
    "torchlift_templates": {"torchlift_convert", "torchlift", "torch", "lightning"},
}
LONGEST_MODULE = 400

Graph = dict[str, set[str]]


def modules_of(package: str, root: Path) -> dict[str, Path]:
    """Dotted name -> file, for every module of the package below `root`."""
    found = {}
    for path in sorted((root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def runs_only_in_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def import_nodes(tree: ast.AST, with_typing: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(tree):
        if runs_only_in_type_checkers(child) and not with_typing:
            assert isinstance(child, ast.If)
            for other in child.orelse:
                yield from import_nodes(ast.Module([other], []), with_typing)
            continue
        if isinstance(child, ast.Import | ast.ImportFrom | ast.Call):
            yield child
        yield from import_nodes(child, with_typing)


def imported_names(path: Path, module: str, with_typing: bool = True) -> set[str]:
    """Absolute dotted names that the module asks for: `a.b` for `import a.b`, `a.b.c` for `from a.b import c`."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    names: set[str] = set()
    for node in import_nodes(ast.parse(path.read_text(encoding="utf-8")), with_typing):
        match node:
            case ast.Import(names=aliases):
                names |= {alias.name for alias in aliases}
            case ast.ImportFrom(module=base, names=aliases, level=level):
                above = package.split(".")[: len(package.split(".")) - level + 1] if level else []
                names |= {".".join([*above, *([base] if base else []), alias.name]) for alias in aliases}
            case ast.Call(args=[ast.Constant(str(name)), *_], func=func):
                if ast.unparse(func).rpartition(".")[2] in {"__import__", "import_module"}:
                    names.add(name)
    return names


def module_that_answers(name: str, modules: Iterable[str]) -> str:
    """The module that a dotted name needs: the name itself or its longest part that is one; "" when none is."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name


def import_graph(modules: dict[str, Path]) -> Graph:
    """Module -> the modules of the same package that it imports when it runs."""
    graph = {}
    for module, path in modules.items():
        names = imported_names(path, module, with_typing=False)
        graph[module] = {module_that_answers(name, modules) for name in names} - {"", module}
    return graph


def find_cycle(graph: Graph) -> list[str]:
    """One import cycle as a path that ends where it starts; empty when there is none."""
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        for needed in sorted(graph.get(module, ())):
            if cycle := visit(needed, [*path, module]):
                return cycle
        done.add(module)
        return []

    for module in sorted(graph):
        if cycle := visit(module, []):
            return cycle
    return []


@pytest.mark.parametrize("package", PACKAGES)
def test_package_stays_within_its_walls(package: str) -> None:
    modules = modules_of(package, PACKAGES[package])
    assert modules, f"no module of {package} found"
    crossings = [
        f"{module} imports {name}"
        for module, path in modules.items()
        for name in sorted(imported_names(path, module))
        if name.partition(".")[0] in FORBIDDEN[package]
    ]
    assert crossings == []


@pytest.mark.parametrize("package", PACKAGES)
def test_package_has_no_import_cycle(package: str) -> None:
    cycle = find_cycle(import_graph(modules_of(package, PACKAGES[package])))
    assert not cycle, "import cycle: " + " -> ".join(cycle)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_can_be_read_in_one_sitting(package: str) -> None:
    lengths = {
        module: len(path.read_text(encoding="utf-8").splitlines())
        for module, path in modules_of(package, PACKAGES[package]).items()
    }
    assert {module: lines for module, lines in lengths.items() if lines > LONGEST_MODULE} == {}


def test_command_line_starts_without_torch() -> None:
    """The source is one witness, a real start the other: nothing that the command line pulls in brings torch along."""
    code = "import sys, torchlift_convert.cli; print(sorted({'torch', 'torchlift', 'numpy'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.strip()) == (0, "[]"), run.stderr


def write_package(root: Path, files: dict[str, str]) -> dict[str, Path]:
    for name, text in files.items():
        path = root / "pkg" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return modules_of("pkg", root)


@pytest.mark.parametrize(
    "files",
    [
        {"__init__.py": "", "a.py": "import pkg.b", "b.py": "from pkg.c import x", "c.py": "from . import a"},
        {"__init__.py": "", "a.py": "from .b import x", "b.py": "def late():\n    from pkg import a\n"},
        {"__init__.py": "from pkg.a import x", "a.py": "from pkg import y"},
        {"__init__.py": "", "a.py": "from pkg.sub import b", "sub/__init__.py": "", "sub/b.py": "from ..a import x"},
        {"__init__.py": "", "a.py": "import pkg.b", "b.py": "import_module('pkg.a')"},
    ],
    ids=["three modules", "late import", "through the package", "relative", "by name"],
)
def test_cycle_is_found(tmp_path: Path, files: dict[str, str]) -> None:
    assert find_cycle(import_graph(write_package(tmp_path, files)))


@pytest.mark.parametrize(
    "files",
    [
        {"__init__.py": "from pkg.a import x", "a.py": "from pkg import b", "b.py": ""},
        {"__init__.py": "", "a.py": "import pkg.b", "b.py": "if TYPE_CHECKING:\n    from pkg.a import x\n"},
        {"__init__.py": "", "a.py": "import pkg.c", "b.py": "import pkg.c", "c.py": ""},
    ],
    ids=["module asked of the package", "for type checkers only", "two ways to one module"],
)
def test_what_is_no_cycle_is_left_alone(tmp_path: Path, files: dict[str, str]) -> None:
    assert find_cycle(import_graph(write_package(tmp_path, files))) == []


def test_imports_are_seen_wherever_they_stand(tmp_path: Path) -> None:
    text = """
        import torch.nn as nn
        if TYPE_CHECKING:
            from lightning import Trainer
        def late():
            try:
                from torchlift.cli import app
            except ImportError:
                importlib.import_module("numpy.random")
    """
    modules = write_package(tmp_path, {"__init__.py": "if True:\n" + text})
    roots = {name.partition(".")[0] for name in imported_names(modules["pkg"], "pkg")}
    assert roots == {"torch", "lightning", "torchlift", "numpy"}
