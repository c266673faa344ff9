"""Look at pocket: paint a clip in every style, measure it against the teachers, and draw a contact sheet.

A chunk counts as painted right when, in plain RGB mean squared error, the output is nearer to its own teacher
of the input than to any other teacher's and than to the input itself.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from limner.engine.config import ModelConfig
from limner.engine.engine import Engine
from limner.engine.types import StreamSettings
from limner.pocket.teachers import STYLES, teach

Frames = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Score:
    """How one style went on one clip."""

    right: float
    """Part of the chunks that are nearest to their own teacher, 0..1."""
    psnr_db: float
    """Output against its own teacher."""
    flicker: float
    """RMS change between neighbouring output frames over that of the teacher's frames; 1 is as steady."""


def read_clip(path: Path, width: int, height: int, frames: int, skip: int = 0) -> Frames:
    """Frames [T, H, W, 3] RGB, scaled to fill and cropped."""
    out: list[Frames] = []
    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index >= skip:
                out.append(_fit(frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False), width, height))
            if len(out) == frames:
                break
    if not out:
        raise ValueError(f"{path} has no frames after the first {skip}")
    return np.stack(out)


def _fit(image: Frames, width: int, height: int) -> Frames:
    scale = max(width / image.shape[1], height / image.shape[0])
    size = (max(width, round(image.shape[1] * scale)), max(height, round(image.shape[0] * scale)))
    scaled = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    x, y = (size[0] - width) // 2, (size[1] - height) // 2
    return np.asarray(scaled[y : y + height, x : x + width], np.uint8)


def paint(engine: Engine, frames_THWC: Frames, settings: StreamSettings) -> Frames:
    """The whole clip through a stream; whole chunks only."""
    stream = engine.open_stream(settings, frames_THWC.shape[1], frames_THWC.shape[2])
    count = stream.frames_per_chunk
    clip = torch.from_numpy(np.array(frames_THWC)).permute(0, 3, 1, 2).contiguous()
    chunks = [stream.push(clip[t : t + count]) for t in range(0, len(clip) - count + 1, count)]
    painted = [part.frames_TCHW for part in [*chunks, stream.flush()] if part is not None]
    joined: Frames = torch.cat(painted).permute(0, 2, 3, 1).cpu().numpy()
    return joined


def score(painted: Frames, style: str, taught: dict[str, Frames], source: Frames, chunk: int = 4) -> Score:
    """Compare with all teachers and the source, chunk by chunk."""
    count = len(painted) // chunk
    rivals = {**taught, "": source}
    errors = {name: _errors(painted, frames, chunk, count) for name, frames in rivals.items()}
    others = np.min([error for name, error in errors.items() if name != style], axis=0)
    own = taught[style][: len(painted)]
    return Score(
        right=float(np.mean(errors[style] < others)),
        psnr_db=float(10 * np.log10(255**2 / np.mean(errors[style]))),
        flicker=_change(painted) / max(_change(own), 1e-6),
    )


def _errors(a: Frames, b: Frames, chunk: int, count: int) -> NDArray[np.float64]:
    square = (a[: count * chunk].astype(np.float64) - b[: count * chunk]) ** 2
    return np.asarray(square.reshape(count, -1).mean(1))


def _alone_db(engine: Engine, source: Frames) -> float:
    """PSNR of what strength 0 gives back, mean over the frames."""
    passed = paint(engine, source, StreamSettings(prompt="", strength=0.0))
    square = (passed.astype(np.float64) - source[: len(passed)]) ** 2
    return float(np.mean(10 * np.log10(255**2 / square.mean((1, 2, 3)))))


def _change(frames: Frames) -> float:
    return float(np.sqrt(np.mean(np.diff(frames.astype(np.float64), axis=0) ** 2)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Paint a clip in every style; write a contact sheet (input | teacher | output per strength)."""
    here = Path(__file__)
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/look.png"))
    parser.add_argument("--config", type=Path, default=here.with_name("pocket.toml"))
    parser.add_argument("--weights", type=Path, default=here.with_name("weights.safetensors"))
    parser.add_argument("--strengths", type=float, nargs="+", default=[0.5])
    parser.add_argument("--styles", nargs="+", default=list(STYLES))
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--skip", type=int, default=0)
    parser.add_argument("--size", type=int, nargs=2, default=(320, 176), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--show", type=int, default=-2, help="frame of the clip that the sheet shows")
    options = parser.parse_args(arguments)
    engine = Engine(ModelConfig.from_toml(options.config), options.weights)
    width, height = options.size
    source = read_clip(options.clip, width, height, options.frames, options.skip)
    print(f"the autoencoder alone: {_alone_db(engine, source):.1f} dB, mean over the frames", flush=True)
    taught = {style: teach(source, style) for style in STYLES}
    rows = []
    for style in options.styles:
        row = [source[options.show], taught[style][options.show]]
        for strength in options.strengths:
            settings = StreamSettings(prompt=style, strength=strength, steps=options.steps)
            painted = paint(engine, source, settings)
            row.append(painted[options.show])
            result = score(painted, style, taught, source)
            print(
                f"{style:14} strength {strength:.2f}: right {result.right:4.0%}"
                f"  psnr {result.psnr_db:5.2f} dB  flicker {result.flicker:.2f}",
                flush=True,
            )
        rows.append(np.concatenate(row, 1))
    cv2.imwrite(str(options.output), np.concatenate(rows, 0)[:, :, ::-1])


if __name__ == "__main__":
    main()
