"""The codes of what the converter has to say, one place for their meaning.

Families: 1xx structure, 2xx device, 3xx optimizer and scheduler, 4xx precision, 5xx distributed, 6xx logging and
checkpoints, 7xx data, 8xx the way back to a plain loop, 9xx left alone.
"""

from __future__ import annotations

import ast

from torchlift_convert.syntax import span_of
from torchlift_convert.types import Diagnostic, Severity, Span

CODES: dict[str, str] = {
    "TL101": "several trainings in one script",
    "TL102": "a loop of a shape that is not known",
    "TL103": "the training loop is wrapped in a statement that cannot be split",
    "TL104": "a training function is called in a way that cannot be followed",
    "TL105": "control leaves the loop in a way that hooks cannot express",
    "TL106": "a name would have to cross hooks in a way that cannot be expressed",
    "TL107": "the loop sits where a Trainer cannot be called",
    "TL120": "a magic, or a look at earlier output, that a converted notebook would change",
    "TL301": "nothing in the loop updates weights",
    "TL302": "manual optimization was needed",
    "TL304": "gradients from before the loops would be part of their first step",
    "TL310": "the model is never put back into training mode",
    "TL401": "gradients are clipped while they are scaled",
    "TL501": "training in several processes",
    "TL502": "a framework's object that does more than a plain loop in one process",
    "TL701": "the data cannot be told apart from the rest",
    "TL702": "the batches come from something that a Trainer cannot iterate",
    "TL801": "a class of Lightning's that cannot be told or taken apart",
    "TL802": "a Trainer's argument that a plain loop has no place for",
    "TL803": "a Trainer, or a call of one, that cannot be followed",
    "TL804": "a callback or logger whose work a plain loop would have to do",
    "TL805": "a hook or a name of Lightning's that has no counterpart in a plain loop",
    "TL806": "what a run begins with cannot be read: optimizers, seeds, a checkpoint",
    "TL807": "a logged value that cannot be followed",
    "TL808": "an optimizer or scheduler that steps in a way of its own",
    "TL809": "validation that a sanity check would repeat",
    "TL810": "files that the Trainer wrote of its own accord",
    "TL811": "loaders whose batches would come in another order",
    "TL900": "a bug of the converter",
    "TL902": "the text is not Python",
    "TL903": "torch of before 0.4 that no longer runs",
    "TL910": "a comment that ignores nothing",
    "TL911": "a comment to torchlift that says nothing known",
}


class Refuse(Exception):
    """Planning gives up on this script; carries what the user is told.

    ``claim``: what the author could vouch for instead; only what the converted script then checks (``promises.py``).
    """

    def __init__(
        self, code: str, message: str, node: ast.stmt | ast.expr | None, remedy: str, *, claim: str = ""
    ) -> None:
        super().__init__(message)
        span = span_of(node) if node is not None else Span(1, 1)
        self.diagnostic = Diagnostic(code, Severity.REFUSAL, message, span, remedy, claim)


def finding(code: str, message: str, node: ast.stmt | ast.expr, remedy: str = "") -> Diagnostic:
    """Something kept bug for bug that the user should know about."""
    return Diagnostic(code, Severity.FINDING, message, span_of(node), remedy)


def note(code: str, message: str, node: ast.stmt | ast.expr, remedy: str = "") -> Diagnostic:
    """Something said so that nobody is surprised."""
    return Diagnostic(code, Severity.NOTE, message, span_of(node), remedy)
