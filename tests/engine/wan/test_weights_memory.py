"""A model is never twice in memory while it is loaded: measured in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

LAYERS, DIM = 12, 3072  # 226 MB in bfloat16
MODEL_BYTES = LAYERS * DIM * DIM * 2
SLACK = 0.15

CHILD = """
import json, sys
from pathlib import Path
import torch
from torch import nn
from limner.engine.weights import load_weights

path, layers, dim = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])

def resident_bytes(kind):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(kind + ":"):
            return int(line.split()[1]) * 1024
    raise LookupError(kind)

def narrow(name, module):
    if isinstance(module, nn.Linear):
        module.weight = nn.Parameter(module.weight.to(torch.float8_e4m3fn), requires_grad=False)

with torch.device("meta"):
    model = nn.Sequential(*(nn.Linear(dim, dim, bias=False, dtype=torch.bfloat16) for _ in range(layers)))
before, before_all = resident_bytes("RssAnon"), resident_bytes("VmHWM")
own = []
load_weights(
    model, path,
    on_full=narrow if sys.argv[4] == "narrow" else None,
    on_progress=lambda done, total: own.append(resident_bytes("RssAnon")),
)
own.append(resident_bytes("RssAnon"))
print(json.dumps([max(own) - before, resident_bytes("VmHWM") - before_all, float(model[3].weight[5, 7])]))
"""


def write_safetensors(tensors: dict[str, Tensor], folder: Path) -> Path:
    save_file(tensors, folder / "a.safetensors")
    return folder / "a.safetensors"


def write_checkpoint(tensors: dict[str, Tensor], folder: Path) -> Path:
    torch.save({"generator": tensors}, folder / "model.pt")
    return folder / "model.pt"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("write", [write_safetensors, write_checkpoint])
@pytest.mark.parametrize(("then", "share"), [("keep", 1.0), ("narrow", 0.5)])
def test_one_copy_and_no_more(
    write: Callable[[dict[str, Tensor], Path], Path], then: str, share: float, tmp_path: Path
) -> None:
    tensors = {f"{n}.weight": torch.ones(DIM, DIM, dtype=torch.bfloat16) for n in range(LAYERS)}
    tensors["3.weight"][5, 7] = 0.5
    path = write(tensors, tmp_path)
    del tensors
    command = [sys.executable, "-c", CHILD, str(path), str(LAYERS), str(DIM), then]
    # Freed tensors go back to the system at once, so that holes in the heap do not count as tensors held.
    env = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "1000000"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120, env=env)
    path.unlink()
    own_bytes, all_bytes, value = json.loads(done.stdout)
    assert value == 0.5
    # What the process itself holds, at each tensor; and at its highest, with the pages of the file.
    assert 0.9 * share * MODEL_BYTES < own_bytes < (share + SLACK) * MODEL_BYTES
    assert all_bytes < (1 + share + SLACK) * MODEL_BYTES
