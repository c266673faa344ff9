"""Segments for a loop without a daemon."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator

import pytest

from limner.daemon.segment import remove_stale
from limner.daemon.session import SegmentPair
from limner.daemon.sizes import ECHO


@pytest.fixture
def make_segments() -> Iterator[Callable[..., SegmentPair]]:
    """Return a function (width, height) → segments, with the slots of an engine, removed after the test."""
    prefix = f"limner-test-{secrets.token_hex(4)}-"
    yield lambda width=32, height=16, generation=1, traits=ECHO: SegmentPair.create(
        prefix, traits, generation=generation, width=width, height=height
    )
    remove_stale(prefix)
