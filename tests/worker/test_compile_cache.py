"""What is compiled once is there in the next process: only the first start takes longer."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHILD = """
import json
from limner.worker.model_loading import keep_what_is_compiled
keep_what_is_compiled()
import torch
from torch._dynamo.utils import counters
from limner.engine.dit.modulation import gated
from limner.engine.fusing import fusing, _broken

with fusing("inductor"), torch.inference_mode():
    gated(torch.ones(1, 6, 8), torch.ones(1, 6, 8), 1, torch.ones(1, 1, 1, 8))
print(json.dumps({"broken": list(_broken), **counters["inductor"]}))
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a compiler")
def test_the_next_process_compiles_nothing(tmp_path: Path) -> None:
    first, second = (started(tmp_path) for _ in range(2))
    assert not first["broken"] and not second["broken"]
    assert (first.get("fxgraph_cache_miss"), first.get("fxgraph_cache_hit")) == (1, None)
    assert (second.get("fxgraph_cache_miss"), second.get("fxgraph_cache_hit")) == (None, 1)
    assert any((tmp_path / "limner" / "compiled").iterdir())


def started(cache: Path) -> dict[str, object]:
    """What a new process had to compile."""
    env = {key: value for key, value in os.environ.items() if key != "TORCHINDUCTOR_CACHE_DIR"}
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        check=True,
        capture_output=True,
        text=True,
        timeout=200,
        env=env | {"XDG_CACHE_HOME": str(cache), "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    counted: dict[str, object] = json.loads(done.stdout.strip().splitlines()[-1])
    return counted
