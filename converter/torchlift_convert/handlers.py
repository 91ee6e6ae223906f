"""Handlers of Ctrl-C around the loop: the Trainer takes the interrupt itself and ends ``fit`` with SystemExit."""

from __future__ import annotations

import libcst as cst


def names_interrupt(handler: cst.ExceptHandler) -> bool:
    """Does the handler name KeyboardInterrupt? One that catches everything catches SystemExit as it is."""
    kinds = _kinds(handler)
    names = [k.value for k in kinds if isinstance(k, cst.Name)]
    return "KeyboardInterrupt" in names and "SystemExit" not in names


def _kinds(handler: cst.ExceptHandler) -> list[cst.BaseExpression]:
    if isinstance(handler.type, cst.Tuple):
        return [e.value for e in handler.type.elements]
    return [handler.type] if handler.type is not None else []


def catching_exit(handler: cst.ExceptHandler) -> cst.ExceptHandler:
    """The handler as one that the Trainer's exit after Ctrl-C reaches too, and no other exit does.

    ``trainer.interrupted`` does not tell them apart: it is true after every exception.
    """
    name = handler.name or cst.AsName(cst.Name("stop"))
    assert isinstance(name.name, cst.Name)
    caught = name.name.value
    guard = cst.parse_statement(
        f"if isinstance({caught}, SystemExit) and not isinstance({caught}.__context__, KeyboardInterrupt):\n    raise\n"
    )
    assert isinstance(guard, cst.If)
    elements = [cst.Element(kind) for kind in [*_kinds(handler), cst.Name("SystemExit")]]
    body = handler.body
    if isinstance(body, cst.SimpleStatementSuite):
        body = cst.IndentedBlock([cst.SimpleStatementLine(body.body)])
    assert isinstance(body, cst.IndentedBlock)
    return handler.with_changes(type=cst.Tuple(elements), name=name, body=body.with_changes(body=[guard, *body.body]))
