"""Scripts that a grammar makes up: each is refused with a place and a reason, or trains to the same bits.

``make grammar EXAMPLES=2000 SEED=7`` draws many more than the suite does, others each time when SEED changes.
"""

from __future__ import annotations

import importlib
import os

from hypothesis import HealthCheck, given, seed, settings
from tests.converter.grammar.judge import judge
from tests.converter.grammar.scripts import scripts

from torchlift_convert.types import Status, Target

EXAMPLES = int(os.environ.get("TORCHLIFT_GRAMMAR_EXAMPLES", "40"))
SEED = int(os.environ.get("TORCHLIFT_GRAMMAR_SEED", "0"))
MEASURED = settings(max_examples=EXAMPLES, derandomize=False, suppress_health_check=list(HealthCheck))


def test_converts_or_refuses_and_never_differs() -> None:
    """A converter that refuses everything differs in nothing: two scripts of three have to convert."""
    converted = drawn = 0

    @seed(SEED)
    @MEASURED
    @given(scripts())
    def judged(source: str) -> None:
        nonlocal converted, drawn
        drawn += 1
        converted += judge(source).status is Status.CONVERTED

    judged()
    assert drawn >= EXAMPLES // 2, "the grammar has too little to say"
    assert converted > 0.66 * drawn, f"{converted} of {drawn}"


def test_real_lightning_trains_to_the_same() -> None:
    importlib.import_module("lightning")  # what it imports draws from Python's generator, once

    @seed(SEED + 1)
    @settings(MEASURED, max_examples=max(4, EXAMPLES // 20))
    @given(scripts())
    def judged(source: str) -> None:
        judge(source, Target.LIGHTNING)

    judged()
