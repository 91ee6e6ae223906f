"""The README's example is what the tool writes today, and its commands exist."""

from __future__ import annotations

import re
from pathlib import Path

from torchlift_convert.api import convert
from torchlift_convert.types import Options

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_example_is_what_convert_writes() -> None:
    before, after = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert convert(before, Options()).code == after


def test_commands_of_make_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    pages = README + (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^ {4}make ([a-z-]+)|`make ([a-z-]+)`", pages, re.MULTILINE))
    assert {first or second for first, second in named} <= targets
    assert named


def test_links_lead_somewhere() -> None:
    pages = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *REPOSITORY.glob("docs/*.md")]
    broken = [
        f"{page.name}: {link}"
        for page in pages
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not (page.parent / link).exists()
    ]
    assert broken == []
