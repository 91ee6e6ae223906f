"""The table of metrics after ``validate`` and ``test``."""

import io
import sys

import pytest
import torch

from torchlift.results_table import print_results


def shown(outputs: list, monkeypatch: pytest.MonkeyPatch, columns: int = 80, encoding: str = "utf-8") -> list[str]:
    monkeypatch.setenv("COLUMNS", str(columns))
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stderr", stream)
    print_results(outputs, "test")
    stream.flush()
    return stream.buffer.getvalue().decode(encoding).splitlines()  # type: ignore[attr-defined]


def test_one_row_a_metric_and_one_column_a_loader(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = [{"acc/dataloader_idx_0": torch.tensor(0.5), "f1": 1}, {"acc/dataloader_idx_1": 0.25}]
    rule = "─" * 41
    assert shown(outputs, monkeypatch) == [
        rule,
        " Test metric  DataLoader 0  DataLoader 1",
        rule,
        "     acc          0.5           0.25",
        "      f1           1",
        rule,
    ]


def test_loaders_without_room_get_a_table_below(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown([{"acc": i} for i in range(5)], monkeypatch, columns=45)
    assert [line.split()[2::2] for line in lines if "DataLoader" in line] == [["DataLoader"] * 2] * 2 + [["DataLoader"]]
    assert max(map(len, lines)) <= 45
    assert max(map(len, shown([{"acc": 0}], monkeypatch, columns=5))) > 5  # one loader is shown however narrow it is


def test_a_terminal_without_lines_gets_dashes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(shown([{"acc": 0}], monkeypatch, encoding="latin-1")[0]) == {"-"}


@pytest.mark.parametrize("outputs", [[], [{}, {}]])
def test_nothing_logged_shows_nothing(outputs: list, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(outputs, monkeypatch) == []
