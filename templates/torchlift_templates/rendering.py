"""From a template to a project: all texts first, in memory, then one rename. A project is there whole or not at all."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from torchlift_templates.catalog import Template, find
from torchlift_templates.errors import TemplateError
from torchlift_templates.names import check_project_name


@dataclass(frozen=True)
class RenderResult:
    """A project that was written.

    Attributes:
        template: the template's name.
        destination: the project's folder.
        files: what was written, relative to it, in order.
        next_steps: commands to try in that folder.
    """

    template: str
    destination: Path
    files: tuple[PurePosixPath, ...]
    next_steps: tuple[str, ...]


def render(template: str, name: str, destination: Path, **options: object) -> RenderResult:
    """Write a new project.

    Args:
        template: name of a template, see :func:`torchlift_templates.available`.
        name: the project's name.
        destination: the folder that the project becomes; it must not exist yet, or be empty.
        options: the template's own options.

    Raises:
        TemplateError: when the template, the name, an option or the folder will not do. Nothing is written then.
    """
    chosen = find(template)
    texts = render_texts(chosen, name, options)
    check_destination(destination)
    write_whole(texts, destination)
    return RenderResult(chosen.name, destination, tuple(map(PurePosixPath, texts)), chosen.next_steps)


def render_texts(template: Template, name: str, options: Mapping[str, object]) -> dict[str, str]:
    """The project's texts by their path in it; touches no file.

    Raises:
        TemplateError: when the name or an option will not do.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # No escaping: these are not web pages. What comes from outside has been checked against a pattern or a list.
    environment = Environment(
        loader=FileSystemLoader(template.folder / "files"),
        undefined=StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    values = {"name": check_project_name(name), **template.choose(options)}
    return {path: environment.get_template(f"{path}.jinja").render(values) for path in template.sources}


def check_destination(destination: Path) -> None:
    if destination.is_symlink() or (destination.exists() and not destination.is_dir()):
        raise TemplateError(f"{destination} is not a folder: choose another name, or move it away.")
    if destination.exists() and any(destination.iterdir()):
        raise TemplateError(f"{destination} is not empty, and nothing in it is overwritten: choose another name.")
    if not destination.absolute().parent.is_dir():
        raise TemplateError(f"{destination.parent} is not a folder: make it first.")


def write_whole(texts: Mapping[str, str], destination: Path) -> None:
    """Write beside the destination, then rename: whoever looks sees no project or all of it."""
    destination = destination.absolute()
    staging = destination.with_name(f".{destination.name}-{secrets.token_hex(4)}")
    try:
        staging.mkdir()
        for path, text in texts.items():
            (staging / path).parent.mkdir(parents=True, exist_ok=True)
            (staging / path).write_text(text, encoding="utf-8", newline="\n")
        if destination.is_dir():
            destination.rmdir()  # refuses when something was put there meanwhile
        staging.rename(destination)
    except OSError as error:
        raise TemplateError(f"Cannot write {destination}: {error.strerror}.") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
