"""A script with the definitions that it imports from its project: the text, where each line is from, and the way back.

The text is a plain script; what was linked in stands behind the imports that it comes from. A name that the script
knows by an import keeps it; every other linked name is one that stands nowhere else, and gets its own name back at
the end.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, replace
from typing import Any

from torchlift_convert.types import Fate, Result, Span


@dataclass(frozen=True)
class Name:
    """A global name of the linked text that the script has no name for.

    ``path``: how the script says it, as ``utils.step``; None: it does not, then ``line`` is an import that gives it,
    ``bare`` the name which that binds, ``plain`` the name to prefer, and ``tail`` what has to stand behind it.
    """

    key: str
    path: str | None
    line: str
    bare: str
    plain: str
    tail: str = ""

    def imported_as(self, name: str) -> str:
        return self.line if name == self.bare else f"{self.line} as {name}"


@dataclass(frozen=True)
class Links:
    """What was linked into a script.

    ``lines``: for each line of the text its file and its line there; no file: the script. ``local``: names that the
    script's imports bind to local modules or to what is in them. ``loud``: those whose import does more than that.
    """

    text: str
    script: ast.Module
    lines: tuple[tuple[str, int], ...]
    names: dict[str, Name]
    local: frozenset[str]
    loud: frozenset[str]

    def place(self, line: int) -> tuple[str, int]:
        """The file (none: the script) and the line there of a line of the text."""
        return self.lines[line - 1] if 0 < line <= len(self.lines) else ("", line)

    def is_linked(self, node: ast.stmt | ast.expr) -> bool:
        return bool(self.place(node.lineno)[0])

    def span(self, span: Span) -> tuple[str, Span]:
        """A span of the text as one of its file."""
        file, first = self.place(span.first)
        return file, Span(first, max(first, self.place(span.last)[1]))

    def line_of(self, line: int) -> int:
        """The line of the text that is a line of the script."""
        return next((n for n, where in enumerate(self.lines, 1) if where == ("", line)), line)

    def in_files(self, result: Result) -> Result:
        """A result about the text, as one about the files that it is from."""

        def placed(record: Any) -> Any:
            file, span = self.span(record.span)
            return replace(record, file=file, span=span)

        fates: list[Fate] = []
        for fate in result.fates:
            file, source = self.span(fate.source)
            fates.append(replace(fate, file=file, source=source))
        return replace(
            result,
            became=tuple(map(placed, result.became)),
            fates=tuple(fates),
            diagnostics=tuple(replace(placed(d), message=self.worded(d.message)) for d in result.diagnostics),
            vouched=tuple(map(placed, result.vouched)),
        )

    def worded(self, sentence: str) -> str:
        """A sentence that speaks of lines of the text, speaking of those of the files."""

        def place(number: re.Match[str]) -> str:
            file, line = self.place(int(number[0]))
            return f"{line} of {file}" if file else str(line)

        return re.sub(r"\blines? \d+(?:, \d+)*", lambda found: re.sub(r"\d+", place, found[0]), sentence)

    def plain(self, name: str) -> str:
        """What a reader calls a name of the text."""
        return self.names[name].bare if name in self.names else name

    def final(self, used: set[str], taken: set[str], came: set[str]) -> dict[str, str]:
        """What each linked name that the output uses is called there.

        ``taken``: the identifiers of the output; ``came``: names that it defines itself now.
        """
        out: dict[str, str] = {}
        given: dict[str, str] = {}
        for key in sorted(used & set(self.names)):
            name = self.names[key]
            free = name.plain not in taken | {*given.values()}
            given[key] = name.plain if free else key
            out[key] = given[key] if key in came else name.path or given[key] + name.tail
        return out

    def imports(self, final: dict[str, str], came: set[str]) -> list[str]:
        """The imports that the output needs beside the script's."""
        plain: dict[str, list[str]] = {}
        out: list[str] = []
        for key, called in final.items():
            name = self.names[key]
            if key in came:
                continue
            line = name.imported_as(called.removesuffix(name.tail))
            base, _, what = line.partition(" import ")
            if name.path is None and what and what not in plain.setdefault(base, []):
                plain[base].append(what)
            elif name.path is None and not what and line not in out:
                out.append(line)
        return [*out, *(f"{base} import {', '.join(names)}" for base, names in plain.items())]

    def restored(self, text: str, final: dict[str, str]) -> str:
        """The text with each linked name as it is called there."""
        changed = {k: f for k, f in final.items() if k != f}
        if not changed:
            return text
        pattern = re.compile(r"(?<![\w.])(" + "|".join(map(re.escape, changed)) + r")\b")
        return pattern.sub(lambda m: changed[m.group(1)], text)
