"""Bytes of the LoRAs that are on this machine, as a denoiser would hold them. Headers are read, no torch."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from limner.models.plan_dit import DitSizes

NUMBER_BYTES = 2
ENDING = ".safetensors"
RANK_STEP = 16
"""The engine's buffers have a multiple of this rank."""
_DOWN = (".lora_A.weight", ".lora_A.default.weight", ".lora_down.weight", ".lora.down.weight")
_UP = (".lora_B.weight", ".lora_B.default.weight", ".lora_up.weight", ".lora.up.weight")
_MOST_HEADER_BYTES = 100_000_000
_OTHER_LAYERS = ("embedding", "projection", "embedder", "condition")
"""In names of layers that see a chunk once: what is added to those is added to their weights."""

Shapes = Mapping[str, tuple[int, ...]]


def lora_room_bytes(folder: Path, dit: DitSizes, together: Iterable[Sequence[str]] = ()) -> int:
    """Return what LoRAs of a folder can take on this denoiser: the largest, or those of a style; 0: none.

    `together`: the names of those that are painted with at a time, of each style. What cannot be read, or is
    for another denoiser, takes nothing: whoever asks for it is told why.
    """
    files = sorted(folder.glob(f"*{ENDING}")) if folder.is_dir() else []
    sizes = {path.name.removesuffix(ENDING): lora_bytes(shapes_in(path), dit) for path in files}
    sets = [[name] for name in sizes]
    sets += [[name.removesuffix(ENDING) for name in one] for one in together]
    return max((sum(sizes.get(name, 0) for name in one) for one in sets), default=0)


def lora_bytes(shapes: Shapes, dit: DitSizes) -> int:
    """Return the bytes of a LoRA's buffers beside the big layers; 0: it is for another denoiser."""
    total = 0
    for down, up in _pairs(shapes):
        rank, wide_in, wide_out = down[0], math.prod(down[1:]), up[0]
        if not {wide_in, wide_out} <= {dit.dim, dit.ffn_dim, dit.patch**2 * dit.latent_channels}:
            return 0
        total += -(-rank // RANK_STEP) * RANK_STEP * (wide_in + wide_out) * NUMBER_BYTES
    return total


def shapes_in(path: Path) -> Shapes:
    """Return the shapes of the tensors of a safetensors file; none when it is damaged."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size)) if size <= _MOST_HEADER_BYTES else {}
        return {
            key: tuple(int(side) for side in value["shape"])
            for key, value in header.items()
            if key != "__metadata__"
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _pairs(shapes: Shapes) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Both slim matrices of each big layer, down and up."""
    found = []
    for key, down in shapes.items():
        ending = next((i for i, ending in enumerate(_DOWN) if key.endswith(ending)), None)
        if ending is None or len(down) < 2 or any(word in key for word in _OTHER_LAYERS):
            continue
        up = shapes.get(key.removesuffix(_DOWN[ending]) + _UP[ending], ())
        if len(up) >= 2:
            found.append((down, up))
    return found
