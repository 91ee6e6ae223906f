"""``f"{epoch=}"`` shows the text of its expression: where that is rewritten, the text is written out."""

from __future__ import annotations

import libcst as cst


def shown(
    original: cst.CSTNode, updated: cst.FormattedStringExpression
) -> cst.FlattenSentinel[cst.BaseFormattedStringContent] | None:
    """The text that was shown and the value behind it; None where the text is the same still, or is not shown."""
    if (
        not isinstance(original, cst.FormattedStringExpression)
        or original.equal is None
        or _code(original) == _code(updated)
    ):
        return None
    text = _code(original)[1:-1].replace("{", "{{").replace("}", "}}")
    conversion = updated.conversion or ("r" if updated.format_spec is None else None)
    value = cst.FormattedStringExpression(updated.expression, conversion=conversion, format_spec=updated.format_spec)
    return cst.FlattenSentinel([cst.FormattedStringText(text), value])


def _code(part: cst.FormattedStringExpression) -> str:
    return cst.Module([]).code_for_node(part.with_changes(conversion=None, format_spec=None))
