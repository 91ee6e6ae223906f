"""Codes are stable, each has one meaning, and none is said that is not explained."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import torchlift_convert
from torchlift_convert.diagnostics import CODES, Refuse, finding, note
from torchlift_convert.types import Severity, Span

CODE = re.compile(r"TL\d{3}")
FAMILIES = "12345678"  # structure, device, optimizer, precision, distributed, logging, data, the way back
PACKAGE = Path(torchlift_convert.__file__).parent


def _said() -> set[str]:
    """Codes that the converter gives to a diagnostic: string constants outside the table."""
    found: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        tables = [n for n in ast.walk(tree) if isinstance(n, ast.AnnAssign) and ast.unparse(n.target) == "CODES"]
        hidden = {id(n) for table in tables for n in ast.walk(table)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in hidden:
                found |= {node.value} if CODE.fullmatch(node.value) else set()
    return found


def test_codes_in_use_are_those_of_the_table() -> None:
    assert _said() == set(CODES)


def test_each_code_belongs_to_a_family() -> None:
    assert all(CODE.fullmatch(code) and code[2] in FAMILIES + "9" for code in CODES)


def test_meanings_are_phrases_and_no_two_are_the_same() -> None:
    assert len(set(CODES.values())) == len(CODES)
    assert all(meaning and not meaning.endswith(".") for meaning in CODES.values())


def test_each_code_has_a_page() -> None:
    """Write pages/TLnnn.md (explain.py says how), then `make codes`."""
    pages = {path.stem for path in (PACKAGE / "pages").glob("*.md")}
    assert pages == set(CODES)


def test_a_refusal_knows_its_place_and_its_remedy() -> None:
    (stmt,) = ast.parse("\n@deco\ndef f():\n    pass\n").body
    said = Refuse("TL102", "It cannot be.", stmt, "Do it otherwise.").diagnostic
    assert (said.span, said.severity, said.remedy) == (Span(2, 4), Severity.REFUSAL, "Do it otherwise.")
    assert Refuse("TL102", "Nowhere.", None, "").diagnostic.span == Span(1, 1)


def test_findings_and_notes_have_their_severity() -> None:
    (stmt,) = ast.parse("x = 1").body
    assert finding("TL310", "Kept.", stmt).severity is Severity.FINDING
    assert note("TL302", "Said.", stmt).severity is Severity.NOTE
