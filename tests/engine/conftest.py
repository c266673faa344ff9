"""A tiny engine for tests that only read from it."""

from __future__ import annotations

import pytest
from tests.engine.tiny import tiny_engine

from limner.engine.engine import Engine


@pytest.fixture(scope="session")
def engine() -> Engine:
    return tiny_engine()
