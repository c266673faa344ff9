"""Write the training video to disk once: memory-mapped uint8 clips [N, T, H, W, 3], made in parallel."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from limner.pocket.data import make_clip

FRAMES = 24
SETS = {"small": (3000, 96, 160, 0), "large": (450, 192, 320, 1_000_000)}
"""Name → (clips, height, width, first seed)."""


def _fill(path: Path, first_seed: int, index: int) -> None:
    cv2.setNumThreads(1)
    clips = np.load(path, mmap_mode="r+")
    clips[index] = make_clip(first_seed + index, *clips.shape[1:4])


def prepare_video(directory: Path, name: str, workers: int) -> Path:
    """Make one of SETS unless it is there already; returns the .npy file."""
    count, height, width, first_seed = SETS[name]
    final = directory / f"video_{name}.npy"
    if final.exists():
        return final
    directory.mkdir(parents=True, exist_ok=True)
    partial_file = final.with_suffix(".partial.npy")
    shape = (count, FRAMES, height, width, 3)
    np.lib.format.open_memmap(partial_file, mode="w+", dtype=np.uint8, shape=shape).flush()
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(partial(_fill, partial_file, first_seed), range(count), chunksize=8))
    partial_file.rename(final)
    return final


def open_video(path: Path) -> NDArray[np.uint8]:
    """Clips [N, T, H, W, 3], mapped read-only."""
    clips: NDArray[np.uint8] = np.load(path, mmap_mode="r")
    return clips


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the training video."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/pocket"))
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    for name in SETS:
        print(prepare_video(options.runs, name, options.workers), flush=True)


if __name__ == "__main__":
    main()
