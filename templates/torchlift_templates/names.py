"""Project names are data from outside: they become a folder, a distribution and a heading, and nothing else."""

from __future__ import annotations

import keyword
import re

from torchlift_templates.errors import TemplateError

LONGEST_NAME = 64
# A subset of what PEP 508 and PEP 503 allow, already in normal form but for underscores.
PROJECT_NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
# A project of such a name would depend on itself.
TAKEN = frozenset({"lightning", "pytest", "scikit-learn", "torch", "torchlift"})


def check_project_name(name: str) -> str:
    """Return the name unchanged when it can be a folder, a distribution and, with underscores, an identifier.

    Raises:
        TemplateError: when it cannot, saying which names can.
    """
    if not PROJECT_NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise TemplateError(
            f"{name!r} cannot be a project's name: use lower-case letters, digits, '-' and '_' between them, "
            f"starting with a letter, at most {LONGEST_NAME} characters (for example 'my-digits')."
        )
    if keyword.iskeyword(name) or name.replace("_", "-") in TAKEN:
        raise TemplateError(f"{name!r} cannot be a project's name: it already means something else. Choose another.")
    return name
