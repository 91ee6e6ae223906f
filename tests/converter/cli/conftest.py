"""What the tests of the command line share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Snapshot = Callable[[], dict[str, bytes]]


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    """Every file below the test's folder with its content, to compare before and after."""
    return lambda: {
        str(path.relative_to(tmp_path)): path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()
    }
