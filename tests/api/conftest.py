"""Clouds for API tests."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cloud import Cloud
from tests.support.postgres import fresh_database, postgres_server

__all__ = ["postgres_server"]

_numbers = itertools.count()


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    """A new cloud without anything but its admin."""
    with Cloud.start(tmp_path) as running:
        yield running


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    with fresh_database(postgres_server, f"api_{next(_numbers)}") as url:
        yield url
