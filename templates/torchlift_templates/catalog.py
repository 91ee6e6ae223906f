"""Which templates there are and what each one takes."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torchlift_templates.errors import TemplateError

HOME = Path(__file__).parent


@dataclass(frozen=True)
class Option:
    """One choice that a template leaves to its user."""

    name: str
    help: str
    default: str
    choices: tuple[str, ...]

    def check(self, value: object) -> str:
        """Return the value when it is one of the choices.

        Raises:
            TemplateError: when it is not, naming them.
        """
        if value not in self.choices:
            raise TemplateError(
                f"The option {self.name!r} is one of {', '.join(self.choices)}; {value!r} is none of them."
            )
        return str(value)


@dataclass(frozen=True)
class Template:
    """A template as its ``template.toml`` describes it."""

    name: str
    summary: str
    options: tuple[Option, ...]
    next_steps: tuple[str, ...]
    folder: Path

    @property
    def sources(self) -> Mapping[str, Path]:
        """Path in the project, with slashes -> Jinja source, in a stable order."""
        files = self.folder / "files"
        return {
            path.relative_to(files).as_posix().removesuffix(".jinja"): path for path in sorted(files.rglob("*.jinja"))
        }

    def choose(self, given: Mapping[str, object]) -> dict[str, str]:
        """The value of every option: what was given, else its default.

        Raises:
            TemplateError: for an option that the template does not have, or a value that it does not take.
        """
        if unknown := sorted(given.keys() - {option.name for option in self.options}):
            known = ", ".join(option.name for option in self.options) or "none"
            raise TemplateError(f"The template {self.name!r} has no option {unknown[0]!r}; it has: {known}.")
        return {option.name: option.check(given.get(option.name, option.default)) for option in self.options}


def available() -> tuple[Template, ...]:
    """Every template of the package, by name."""
    return tuple(read(manifest) for manifest in sorted(HOME.glob("*/template.toml")))


def find(name: str) -> Template:
    """The template of that name.

    Raises:
        TemplateError: when there is none, listing those that there are.
    """
    templates = {template.name: template for template in available()}
    if name not in templates:
        raise TemplateError(f"There is no template {name!r}. There are: {', '.join(templates)}.")
    return templates[name]


def read(manifest: Path) -> Template:
    """The template that a ``template.toml`` describes; its folder is its name."""
    table = tomllib.loads(manifest.read_text(encoding="utf-8"))
    options = tuple(
        Option(name, entry["help"], entry["default"], tuple(entry["choices"]))
        for name, entry in table.get("options", {}).items()
    )
    return Template(manifest.parent.name, table["summary"], options, tuple(table["next_steps"]), manifest.parent)
