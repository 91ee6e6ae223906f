from __future__ import annotations

import pytest

from torchlift_convert.facts import MakesNamespace

PARSER = "parser = argparse.ArgumentParser()"


@pytest.mark.parametrize("call", ["parser.parse_args()", "parser.parse_args([])", "make_parser().parse_args()"])
def test_sees_options_being_read(seen, call: str) -> None:
    assert isinstance(seen(call, PARSER), MakesNamespace)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("parser.parse_known_args()", "gives a pair"),
        ("parse_args()", "a function of the script"),
        ("argparse.Namespace(lr=0.1)", "made by hand"),
    ],
)
def test_leaves_alone(seen, call: str, reason: str) -> None:
    assert not isinstance(seen(call, PARSER), MakesNamespace), reason
