"""Notebooks made of the texts of their cells, and both sides of a conversion run as scripts."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

from tests.converter.adversary.harness import run

from torchlift_convert.api import convert
from torchlift_convert.notebooks.api import through_cells
from torchlift_convert.notebooks.document import read
from torchlift_convert.notebooks.running import script_of
from torchlift_convert.types import Options, Result, Status

SHOWN = {"output_type": "stream", "name": "stdout", "text": ["shown before\n"]}

HEAD = """import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)"""
DATA = """X = torch.randn(32, 4)
loader = DataLoader(TensorDataset(X, X.sum(1, keepdim=True)), batch_size=8, shuffle=True)"""
MODEL = """model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)"""
LOOP = """for epoch in range(2):
    for x, y in loader:
        loss = nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(epoch, loss.item())"""
READ = "print(sum(p.sum().item() for p in model.parameters()))"


def book(*cells: str, minor: int = 5, **metadata: Any) -> str:
    """A notebook as Jupyter saves it; a text that starts with '# ' is a markdown cell's."""
    made: list[dict[str, Any]] = []
    for number, source in enumerate(cells, 1):
        cell: dict[str, Any] = {"cell_type": "markdown", "id": f"cell-{number}", "metadata": {"tags": [str(number)]}}
        if not source.startswith("# "):
            cell |= {"cell_type": "code", "execution_count": number, "outputs": [SHOWN]}
        made.append({**cell, "source": source.splitlines(keepends=True)})
    data = {"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": minor}
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def lifted(text: str) -> Result:
    """The conversion of a notebook, which must not be refused; the result is a notebook that is valid."""
    result = through_cells(text, Options(), convert)
    assert result.status is Status.CONVERTED, result.diagnostics
    assert result.code is not None
    valid(result.code)
    return result


def refused(text: str) -> Result:
    result = through_cells(text, Options(), convert)
    assert result.status is Status.REFUSED, result.status
    return result


def same(text: str, folder: Path) -> list[str]:
    """Convert, run both as scripts, and see that they print the same lines; the new cells' texts."""
    result = lifted(text)
    assert result.code is not None
    before, after = (run(script_of(read(t)), folder / name) for t, name in ((text, "before"), (result.code, "after")))
    assert before
    assert after == before
    return sources(result.code)


def cells(text: str) -> list[dict[str, Any]]:
    held: list[dict[str, Any]] = json.loads(text)["cells"]
    return held


def sources(text: str) -> list[str]:
    return ["".join(cell["source"]) for cell in cells(text)]


def valid(text: str) -> None:
    """What the format asks for; by nbformat itself where that is installed."""
    data = json.loads(text)
    ids = [cell["id"] for cell in data["cells"] if "id" in cell]
    assert len(ids) == len(set(ids))
    for cell in data["cells"]:
        assert "id" in cell or data["nbformat_minor"] < 5
        if cell["cell_type"] == "code":
            assert cell["execution_count"] is None
            assert cell["outputs"] == []
    if importlib.util.find_spec("nbformat") is not None:
        import nbformat

        nbformat.validate(nbformat.reads(text, as_version=4))
