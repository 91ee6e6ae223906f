"""Refusals that the author's word takes back: what the word is about is checked when the converted script runs.

Only what a running script can check may be vouched for. A word that does not hold ends the run with a sentence,
instead of training to other numbers.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

import libcst as cst

from torchlift_convert.kept import walk
from torchlift_convert.reserved import unique
from torchlift_convert.syntax import Script, span_of
from torchlift_convert.types import Vouch

PLAIN_LOADER = "a plain DataLoader (no subclass), with a length, without a generator or a set_epoch() of its own"

_HELPER = '''def {name}(loader):
    """The loader, if it is {claim}."""
    samplers = (loader.sampler, getattr(loader.batch_sampler, "sampler", None)) if type(loader) is {dataloader} else ()
    if not samplers or loader.generator is not None or any(hasattr(one, "set_epoch") for one in samplers):
        raise TypeError(f"this script was converted for a plain DataLoader, not for {{loader!r}}")
    len(loader)  # an error for a stream without a length
    return loader
'''


@dataclass(frozen=True)
class Promise:
    """A word that was taken, and what the helper that holds it to the script is called."""

    vouch: Vouch
    helper: str

    def source(self, dataloader: str) -> str:
        """The helper's definition."""
        return _HELPER.format(name=self.helper, claim=PLAIN_LOADER, dataloader=dataloader)


def promise_of(code: str, stmt: ast.stmt, claim: str, script: Script) -> Promise | None:
    """The author's word in place of a proof, given by a comment in the statement's first line; None without one."""
    span = span_of(stmt)
    if (code, span.first) not in script.vouched:
        return None
    taken = {n.id for n in walk(script.tree) if isinstance(n, ast.Name)}
    taken |= {n.name for n in walk(script.tree) if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    taken |= {(n.asname or n.name).partition(".")[0] for n in walk(script.tree) if isinstance(n, ast.alias)}
    return Promise(Vouch(code, span, claim), unique("as_promised", taken))


def with_head_note(module: cst.Module, promise: Promise, script: Script) -> cst.Module:
    """Say at the top of the file on whose word it rests."""
    vouch = promise.vouch
    file, line = script.links.place(vouch.span.first) if script.links is not None else ("", vouch.span.first)
    place = f"{vouch.code}, line {line} of {file or 'the original'}; {promise.helper}() checks it"
    lines = (
        f"# Converted on the author's word ({place}):",
        f"# {vouch.claim}.",
    )
    head = [cst.EmptyLine(comment=cst.Comment(line)) for line in lines]
    old = list(module.header)
    fixed = next((n for n, line in enumerate(old) if not _is_fixed(line)), len(old))  # #! and coding stay on top
    return module.with_changes(header=[*old[:fixed], *head, *old[fixed:]])


def _is_fixed(line: cst.EmptyLine) -> bool:
    text = line.comment.value if line.comment is not None else ""
    return text.startswith("#!") or "coding" in text
