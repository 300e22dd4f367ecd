"""Clouds for API tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.cloud import Cloud


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    """A new cloud without anything but its admin."""
    with Cloud.start(tmp_path) as running:
        yield running
