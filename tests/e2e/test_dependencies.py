"""Declared, pinned and installed dependencies agree: the lower bounds are what the suite runs on."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
DECLARED = [
    Requirement(text) for text in [*PROJECT["dependencies"], *(text for texts in EXTRAS.values() for text in texts)]
]
LINES = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
PINS = {
    canonicalize_name(name): version for name, _, version in (line.partition("==") for line in LINES if "==" in line)
}


def needed_by(requirement: Requirement) -> list[Requirement]:
    """What the installed distribution asks for on this machine, given the extras that were asked of it."""
    try:
        texts = requires(requirement.name) or []
    except PackageNotFoundError:
        return []
    wanted = map(Requirement, texts)
    extras = {"", *requirement.extras}
    return [need for need in wanted if not need.marker or any(need.marker.evaluate({"extra": e}) for e in extras)]


def test_every_dependency_is_pinned_however_indirect() -> None:
    seen: set[str] = set()
    waiting = [requirement for requirement in DECLARED if requirement.name != PROJECT["name"]]
    while waiting:
        requirement = waiting.pop()
        key = f"{canonicalize_name(requirement.name)} {sorted(requirement.extras)}"
        if key not in seen:
            seen.add(key)
            waiting += needed_by(requirement)
    # setuptools: torch asks for it on newer Pythons only, where any version will do.
    unpinned = {key.split()[0] for key in seen} - PINS.keys() - {"setuptools"}
    assert {name for name in unpinned if not is_accelerator(name)} == set()


def is_accelerator(name: str) -> bool:
    """Libraries of a GPU build of torch, which torch pins by itself; a CPU build needs none of them."""
    return bool(re.match(r"nvidia-|cuda-|triton|intel-|pytorch-triton", name))


def test_constraints_hold_pins_and_comments_only() -> None:
    strange = [line for line in LINES if not re.fullmatch(r"#.*|[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line)]
    assert strange == []


@pytest.mark.parametrize("requirement", [r for r in DECLARED if r.name != PROJECT["name"]], ids=lambda r: r.name)
def test_lower_bound_is_the_version_tested(requirement: Requirement) -> None:
    (bound,) = requirement.specifier
    pinned = PINS[canonicalize_name(requirement.name)]
    assert bound.operator in {">=", "=="}
    assert pinned == bound.version or pinned.startswith(bound.version + ".")


# Imported only where they are present or asked for, each behind a sentence or a fallback; none of them is required.
# fsspec comes with torch; a bound of our own would fight with the libraries that hold it back.
OPTIONAL = {"fsspec", "numpy", "psutil", "tensorboard", "torchmetrics", "tqdm", "yaml"} | {
    *("matplotlib", "omegaconf", "tensorboardX", "torch_tensorrt", "torchvision"),
}


def test_packages_import_only_what_is_declared() -> None:
    """A library that merely happens to be installed here would be missing at a user's."""
    homes = packages_distributions()
    declared = {canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]}
    undeclared: dict[str, str] = {}
    for source in ("converter", "runtime", "templates"):
        for path in sorted((REPOSITORY / source).rglob("*.py")):
            for name in imported_roots(path) - set(sys.stdlib_module_names) - OPTIONAL:
                if (
                    not name.startswith("torchlift")
                    and not {*map(canonicalize_name, homes.get(name, [name]))} & declared
                ):
                    undeclared.setdefault(name, path.relative_to(REPOSITORY).as_posix())
    assert undeclared == {}


def imported_roots(path: Path) -> set[str]:
    roots = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            roots |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            roots.add(node.module.partition(".")[0])
    return roots
