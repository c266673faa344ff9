"""A tiny engine for tests that only read from it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from tests.engine.tiny import tiny_engine

from limner.engine.engine import Engine


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny tensors are faster without threads, and much faster on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def engine() -> Engine:
    return tiny_engine()
