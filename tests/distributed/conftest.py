"""What tests of ranks share.

Processes that are spawned share a helper of Python's, which ends with the whole run.
"""

from __future__ import annotations

from multiprocessing import resource_tracker
from pathlib import Path

import pytest
import torch
from tests.distributed.rings import tiny_of, weights_of
from tests.engine.tiny import random_weights

from limner.engine.engine import Engine


@pytest.fixture(scope="session", autouse=True)
def helper_of_spawned_processes() -> None:
    """Be there before the first test: what one leaves behind fails it."""
    resource_tracker.ensure_running()


@pytest.fixture(scope="module")
def weights(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the tiny model with as many blocks as the module of the test says: its `LAYERS`."""
    model = random_weights(tiny_of(request.module.LAYERS))
    return weights_of(model, tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def alone(request: pytest.FixtureRequest, weights: Path) -> Engine:
    """That model in one process."""
    return Engine(tiny_of(request.module.LAYERS), weights, dtype=torch.float32)
