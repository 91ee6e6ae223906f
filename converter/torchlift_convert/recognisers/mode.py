"""``model.train()``, ``model.eval()``, ``model.train(False)``"""

from __future__ import annotations

import ast

from torchlift_convert.facts import Fact, Mode


def see(call: ast.Call, name: str | None) -> Fact | None:
    if name is not None:
        return None
    given = [*call.args, *(k.value for k in call.keywords if k.arg == "mode")]
    if len(given) != len(call.args) + len(call.keywords):
        return None
    match call.func, given:
        case ast.Attribute(value=receiver, attr="eval"), []:
            return Mode(call, receiver, training=False)
        case ast.Attribute(value=receiver, attr="train"), []:
            return Mode(call, receiver, training=True)
        case ast.Attribute(value=receiver, attr="train"), [ast.Constant(value=bool(training))]:
            return Mode(call, receiver, training=training)
        case ast.Attribute(value=receiver, attr="train"), [_]:
            return Mode(call, receiver, training=None)
    return None
