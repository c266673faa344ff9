"""Encode the training video and what its teachers make of it, once, so that training steps are only DiT.

A file holds [N, 1 + VARIANTS, t, C, h, w] float16: the source, then the variants that `variants` lists.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from limner.engine.vae import PocketVae, VaeConfig
from limner.pocket.prepare import open_video
from limner.pocket.runs import load_checkpoint
from limner.pocket.teachers import MOODS, STYLES, teach

VARIANTS = 2
ONLY_MOODS, WITH_MOODS = 0.12, 0.40
"""Shares of the wishes that are moods without a style, and that hold moods at all."""
MOOD_PAIRS = 0.25
"""Share of two moods at once among the wishes with moods."""

Wish = tuple[str | None, tuple[str, ...]]


def variants(clip: int) -> list[Wish]:
    """What the teachers make of the clip with this number: (style, moods), never (None, ())."""
    rng = np.random.default_rng((78, clip))
    names = rng.permutation(list(STYLES))[:VARIANTS]
    wishes: list[Wish] = []
    for name in names:
        moods = tuple(str(mood) for mood in rng.permutation(MOODS)[: 1 + (rng.random() < MOOD_PAIRS)])
        kind = rng.random()
        wishes.append((None, moods) if kind < ONLY_MOODS else (str(name), moods if kind < WITH_MOODS else ()))
    return wishes


@cache
def _load(runs: Path) -> PocketVae:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    saved = load_checkpoint(runs / "vae.pt")
    if saved is None:
        raise FileNotFoundError(f"{runs / 'vae.pt'} is missing: run python -m limner.pocket.train_vae first")
    vae = PocketVae(VaeConfig())
    vae.load_state_dict(saved["vae"])
    return vae.eval()


@torch.inference_mode()
def _encode(vae: PocketVae, frames_THWC: NDArray[np.uint8]) -> NDArray[np.float16]:
    clip = torch.from_numpy(np.array(frames_THWC)).permute(0, 3, 1, 2)[None]
    with torch.autocast("cpu", torch.bfloat16):
        latents = vae.encode(clip.float().div_(127.5).sub_(1))
    half: NDArray[np.float16] = latents[0].to(torch.float16).numpy()
    return half


def _work(job: tuple[Path, str, Path, int]) -> None:
    runs, name, partial, clip = job
    vae = _load(runs)
    source = np.asarray(open_video(runs / f"video_{name}.npy")[clip])
    out = np.load(partial, mmap_mode="r+")
    out[clip, 0] = _encode(vae, source)
    for row, (style, moods) in enumerate(variants(clip), start=1):
        out[clip, row] = _encode(vae, teach(source, style, moods))


def prepare_latents(runs: Path, name: str, workers: int) -> Path:
    """Encode one set of clips unless that is done; returns the .npy file."""
    final = runs / f"latents_{name}.npy"
    if final.exists():
        return final
    count, frames, height, width, _ = open_video(runs / f"video_{name}.npy").shape
    channels = VaeConfig().latent_channels
    shape = (count, 1 + VARIANTS, frames // 4, channels, height // 8, width // 8)
    partial = final.with_suffix(".partial.npy")
    np.lib.format.open_memmap(partial, mode="w+", dtype=np.float16, shape=shape).flush()
    jobs = [(runs, name, partial, clip) for clip in range(count)]
    with ProcessPoolExecutor(workers) as pool:
        for done, _ in enumerate(pool.map(_work, jobs, chunksize=4)):
            if done % 200 == 0:
                print(f"{name}: {done} of {count}", flush=True)
    partial.rename(final)
    return final


def main(arguments: Sequence[str] | None = None) -> None:
    """Encode the training video and its teachers' versions."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/pocket"))
    parser.add_argument("--sets", nargs="+", default=["small", "large"])
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    for name in options.sets:
        print(prepare_latents(options.runs, name, options.workers), flush=True)


if __name__ == "__main__":
    main()
