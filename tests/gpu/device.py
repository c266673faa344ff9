"""The device that tests/gpu use.

LIMNER_TEST_DEVICE=cpu runs on the CPU what can be run there, so that a test is known to be right before it
first meets a GPU.
"""

from __future__ import annotations

import os

import pytest
import torch

DEVICE = torch.device(os.environ.get("LIMNER_TEST_DEVICE", "cuda"))
IS_CUDA = DEVICE.type == "cuda"
MISSING = IS_CUDA and not torch.cuda.is_available()

ON_DEVICE = [pytest.mark.gpu, pytest.mark.skipif(MISSING, reason="needs a CUDA device")]
"""For what runs on any device."""
ON_CUDA = [pytest.mark.gpu, pytest.mark.skipif(MISSING or not IS_CUDA, reason="needs a CUDA device")]
"""For what is about CUDA itself."""
