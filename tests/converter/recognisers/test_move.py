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
    ("call", "reason"),
    [
        ("x.to(dtype=torch.float16)", "another type, not another place"),
        ("x.to(device, copy=True)", "makes a copy"),
        ("x.to(device, torch.float16)", "both at once"),
        ("x.to()", "nowhere"),
        ("x.cpu()", "to the host, for use there"),
        ("torch.cuda.synchronize()", "waits"),
    ],
)
def test_leaves_alone(seen, call: str, reason: str) -> None:
    assert not isinstance(seen(call), Move), reason
