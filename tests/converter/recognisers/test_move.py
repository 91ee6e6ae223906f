from __future__ import annotations

import ast

import pytest

from torchlift_convert.facts import Move


@pytest.mark.parametrize(
    ("call", "device"),
    [
        ("x.to(device)", "device"),
        ("x.to(device=device)", "device"),
        ("x.to(device, non_blocking=True)", "device"),
        ("x.to('cuda')", "'cuda'"),
        ("x.cuda()", None),
        ("x.cuda(non_blocking=True)", None),
    ],
)
def test_sees_what_moves_and_where_to(seen, call: str, device: str | None) -> None:
    fact = seen(call)
    assert isinstance(fact, Move) and ast.unparse(fact.value) == "x"
    assert (fact.device and ast.unparse(fact.device)) == device


@pytest.mark.parametrize(
    "call", ["x.to(device, torch.float16)", "x.to(device=device, dtype=torch.float16)", "x.to(device, copy=True)"]
)
def test_a_move_that_does_more_is_not_plain(seen, call: str) -> None:
    fact = seen(call)
    assert isinstance(fact, Move) and not fact.plain
    assert seen("x.to(device, non_blocking=True)").plain


def test_sees_the_number_of_a_gpu(seen) -> None:
    assert seen("x.cuda(rank, non_blocking=True)").index.id == "rank"
    assert seen("x.cuda()").index is None


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("x.to(dtype=torch.float16)", "another type, not another place"),
        ("x.to()", "nowhere"),
        ("x.cpu()", "to the host, for use there"),
        ("torch.cuda.synchronize()", "waits"),
    ],
)
def test_leaves_alone(seen, call: str, reason: str) -> None:
    assert not isinstance(seen(call), Move), reason
