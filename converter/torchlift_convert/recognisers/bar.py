"""``tqdm(loader)`` and the other bars of tqdm, rich and fastprogress"""

from __future__ import annotations

import ast

from torchlift_convert.facts import Bar, Fact

_BARS = (
    "tqdm.tqdm",
    "tqdm.auto.tqdm",
    "tqdm.notebook.tqdm",
    "tqdm.std.tqdm",
    "tqdm.tqdm_notebook",
    "rich.progress.track",
)


def see(call: ast.Call, name: str | None) -> Fact | None:
    if name in _BARS:
        iterables = [k.value for k in call.keywords if k.arg == "iterable"] + call.args[:1]
        return Bar(call, iterables[0] if iterables else None)
    return None
