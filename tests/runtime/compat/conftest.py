"""What the tests of compat share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from torchlift import compat


@pytest.fixture
def as_lightning() -> Iterator[None]:
    """Lightning's names mean torchlift; a real Lightning that other tests have loaded is put aside meanwhile."""
    compat.install(force=True)
    yield
    compat.uninstall()
