"""``convert``: the pure core, source text in, a Result out."""

from __future__ import annotations

from torchlift_convert.types import Options, Result, Status


def convert(source: str | bytes, options: Options = Options()) -> Result:
    """Convert one script.

    Args:
        source: the text of the script, or its bytes (then the encoding declaration and BOM are honoured).
        options: target framework and the name used in messages.

    Returns:
        A Result; this function raises only on bugs of its own.
    """
    return Result(Status.NO_LOOP)
