"""``parser.parse_args()``"""

from __future__ import annotations

import ast

from torchlift_convert.facts import Fact, MakesNamespace


def see(call: ast.Call, name: str | None) -> Fact | None:
    if name is None and isinstance(call.func, ast.Attribute) and call.func.attr == "parse_args":
        return MakesNamespace(call)
    return None
