"""What IPython adds to Python: magics, shell commands, questions. Which of them run code, and which do nothing to it.

Sources: IPython's documentation, "Built-in magic commands" and "IPython reference".
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    HARMLESS = "harmless"  # shows something, or sets how things are shown
    UNKNOWN = "unknown"  # may do anything
    BINDING = "binding"  # may do anything, to the notebook's variables too
    TIMED = "timed"  # runs the rest of the line as it would run without the magic


# Line magics that neither draw nor write nor bind a name.
QUIET = frozenset(
    """
    matplotlib config autoreload load_ext reload_ext tensorboard precision pdb xmode colors who whos who_ls history
    hist lsmagic magic quickref pinfo pinfo2 pdoc pdef psource pfile psearch page pprint automagic pwd ls aimport
    """.split()
)

# Cell magics whose cell only shows something.
SHOWING = frozenset("html HTML javascript js latex markdown svg SVG".split())

# Cell magics that run the cell as it would run without them.
RUNNING = frozenset("time capture".split())

# Magics that leave the notebook's variables alone, whatever else they do; of others nothing is known.
APART = frozenset(
    """
    timeit cd env set_env pip conda mamba uv mkdir rm rmdir cp mv cat ll la ldir lk lf lx man more less
    save notebook bookmark dirs pushd popd dhist logstart logstop logon logoff logstate tb debug
    rehashx system sx sc alias unalias gui watermark wandb
    nvprof writefile file bash sh script perl ruby cmd python python2 python3 pypy R cython
    """.split()
)
CODE = frozenset("timeit".split())  # those of them that run Python

# Magics that may stand without their sign (automagic), where the line is no Python.
AUTOMATIC = frozenset("cd ls pwd pip conda mkdir rm cp mv cat env run matplotlib load_ext who whos timeit time".split())

ASSIGNED = re.compile(r"(?P<targets>[A-Za-z_]\w*(?:\s*,\s*[A-Za-z_]\w*)*)\s*=\s*(?P<sign>[!%])(?P<rest>[^=].*)", re.S)
ASKED = re.compile(r"(?:\?{1,2}\s*%{0,2}[\w.*]+|%{0,2}(?!\d)[\w*]+(?:\.[\w*]+|\[[^\[\]]*\])*\s*\?{1,2})\s*(?:#.*)?")
NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*")


@dataclass(frozen=True)
class Magic:
    """One magic of a cell: its text, whole lines without the indent of the first."""

    text: str
    kind: Kind
    targets: str = ""  # names that it binds
    code: str = ""  # of a timed one: the statement
    head: bool = False  # the first line of a cell that runs: it stands above the cell's text, not in it


def magic_of(text: str) -> Magic | None:
    """The magic that a logical line is, if it is one; ``text`` has no indent."""
    if ASKED.fullmatch(text.strip()):
        return Magic(text, Kind.HARMLESS)
    if text.startswith("%"):
        return _line_magic(text, text[1:])
    if text.startswith(("!", ";", ",")):
        return Magic(text, Kind.UNKNOWN)
    if text.startswith("from __future__ import"):  # first in its cell it may stand; in a script it may not
        return Magic(text, Kind.HARMLESS)
    found = ASSIGNED.fullmatch(text)
    if found is not None:
        return Magic(text, Kind.UNKNOWN, targets=found["targets"])
    if re.match(r"(?:{})(?:\s+[^=\s(.,\[+*/].*)?$".format("|".join(AUTOMATIC)), text, re.S) and not _is_python(text):
        return _line_magic(text, text)
    return None


def _line_magic(text: str, said: str) -> Magic:
    word, _, rest = said.strip().partition(" ")
    if word == "time" and _is_python(rest.strip()) and "\n" not in rest.strip():
        return Magic(text, Kind.TIMED, code=rest.strip())
    return Magic(text, Kind.HARMLESS if word.split("\n")[0] in QUIET else kind_of(text))


def kind_of(text: str) -> Kind:
    """Whether a magic that is not harmless may bind names: all that are not known, and those that are told to."""
    first = text.split("\n")[0]
    if first.startswith("!"):
        return Kind.UNKNOWN
    apart = name_of(text) in APART and not re.search(r"\s--(?:out|err)\b", first)
    return Kind.UNKNOWN if apart else Kind.BINDING


def name_of(text: str) -> str:
    """The word that a magic's line begins with, '' for a shell command."""
    found = re.match(r"%{0,2}\s*(\w+)", text)
    return found[1] if found is not None else ""


def _is_python(text: str) -> bool:
    try:
        return len(ast.parse(text).body) == 1
    except (SyntaxError, ValueError):
        return False


def names_in(magic: Magic) -> set[str]:
    """Identifiers that a magic may read: those of the Python in it; of a shell command those behind $ and in braces."""
    text = magic.text
    if name_of(text) in CODE:
        return _read_by(text)
    said = [a or b for a, b in re.findall(r"\{([^{}]*)\}|\$([A-Za-z_]\w*)", text.split("\n")[0])]
    return {name for part in said for name in NAME.findall(part)}


def _read_by(text: str) -> set[str]:
    """Names that the Python behind a magic's options reads and does not bind."""
    words = text.partition("\n")
    rest = words[0].split()[1:]
    for skip in range(len(rest) + 1):
        code = " ".join(rest[skip:]) + words[1] + words[2]
        try:
            names = [n for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Name)]
        except (SyntaxError, ValueError):
            continue
        if skip or not rest or not rest[0].startswith("-"):
            bound = {n.id for n in names if not isinstance(n.ctx, ast.Load)}
            return {n.id for n in names if isinstance(n.ctx, ast.Load)} - bound
    return set(NAME.findall(text))
