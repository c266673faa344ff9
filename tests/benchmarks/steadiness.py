"""How steady pocket's pictures are, on real clips: warp error of the output beside that of the input.

    python -m tests.benchmarks.steadiness --report docs/measurements/steadiness.json

Bars, at default strength and the steadiness that each style is shipped with: output ≤ 1.3 × the input's own,
and ≤ half of what the same model gives frame by frame without cache. The ratio depends on contrast as well,
and a teacher may be less steady than its input by itself; so its ratio and one with contrast divided
out stand beside it. The bars are on the plain one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from tests.benchmarks import report
from tests.benchmarks.warp import Step, contrast, steps_of, warp_error
from tests.support.pictures import CLIPS, pocket, real_clip

from limner.daemon.style_file import load
from limner.engine.engine import Engine
from limner.engine.types import StreamSettings
from limner.pocket.look import Frames, paint
from limner.pocket.teachers import STYLES, teach

MOST_OVER_INPUT = 1.3
MOST_OVER_FRAME_BY_FRAME = 0.5
CHUNK_FRAMES = 4


@dataclass(frozen=True, kw_only=True)
class Steadiness:
    """One style on one clip. Ratios of root mean square warp errors; less is steadier."""

    clip: str
    style: str
    over_input: float
    """Output over input: the first bar."""
    over_frame_by_frame: float
    """Output over what the model gives without cache, each frame with a seed of its own: the second bar."""
    over_frame_by_frame_same_seed: float
    """The same, all frames with one seed: what a static noise field gives without any cache."""
    teacher_over_input: float
    """What the style's own filter gives, frame by frame."""
    over_input_by_contrast: float
    """Output over input, each divided by the contrast of its pictures."""
    over_input_mean_abs: float
    """Output over input, of mean absolute errors."""
    borders_over_input: float
    """Output over input, only from the last frame of a chunk to the first of the next."""
    within_over_input: float
    """Output over input, only from frame to frame inside chunks."""


def frame_by_frame(
    engine: Engine, frames_THWC: Frames, settings: StreamSettings, *, same_seed: bool
) -> Frames:
    """Each frame painted by itself, as an image-to-image filter would: a still chunk in a fresh stream.

    Nothing is held of frames before, copies of itself included: steadiness is memory, too.
    """
    settings = replace(settings, steadiness=0.0)
    return np.stack(
        [
            _alone(engine, frame, replace(settings, seed=0 if same_seed else index))
            for index, frame in enumerate(frames_THWC)
        ]
    )


def measure(engine: Engine, clip: str, frames: Frames, styles: Sequence[str]) -> Iterator[Steadiness]:
    """Every style on one clip, at the model's default strength, held as it is shipped."""
    steps, strength = steps_of(frames), engine.config.schedule.default_strength
    held = {look.name: look.steadiness for look in load()}
    for style in styles:
        steadiness = held[style]
        assert steadiness is not None, f"{style} is shipped without a steadiness"
        settings = StreamSettings(prompt=style, strength=strength, steadiness=steadiness)
        yield _one(engine, frames, steps, settings, clip=clip, style=style)


def _one(
    engine: Engine,
    frames: Frames,
    steps: Sequence[Step],
    settings: StreamSettings,
    *,
    clip: str,
    style: str,
) -> Steadiness:
    painted = paint(engine, frames, settings)
    source, output = warp_error(frames, steps), warp_error(painted, steps)
    alone, alone_same = (
        warp_error(frame_by_frame(engine, frames, settings, same_seed=same), steps) for same in (False, True)
    )
    return Steadiness(
        clip=clip,
        style=style,
        over_input=output.rms / source.rms,
        over_frame_by_frame=output.rms / alone.rms,
        over_frame_by_frame_same_seed=output.rms / alone_same.rms,
        teacher_over_input=warp_error(teach(frames, style), steps).rms / source.rms,
        over_input_by_contrast=output.rms / source.rms * contrast(frames) / contrast(painted),
        over_input_mean_abs=output.mean_abs / source.mean_abs,
        borders_over_input=_rms(output.rms_T, at_border=True) / _rms(source.rms_T, at_border=True),
        within_over_input=_rms(output.rms_T, at_border=False) / _rms(source.rms_T, at_border=False),
    )


def broken_bars(results: Sequence[Steadiness]) -> list[str]:
    """What is less steady than promised, a sentence each."""
    checks = [
        (f"{r.style} on {r.clip}", value, bar, of)
        for r in results
        for value, bar, of in (
            (r.over_input, MOST_OVER_INPUT, "the input"),
            (r.over_frame_by_frame, MOST_OVER_FRAME_BY_FRAME, "frame by frame"),
        )
    ]
    return [
        f"{what}: {value:.2f} times the warp error of {of}, promised {bar}"
        for what, value, bar, of in checks
        if not value <= bar
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; 1 when a bar is broken."""
    parser = report.parser(main.__doc__)
    parser.add_argument("--frames", type=int, default=48, help="of each clip")
    parser.add_argument("--clips", nargs="+", default=list(CLIPS))
    parser.add_argument("--styles", nargs="+", default=list(STYLES))
    options = report.chosen(parser, arguments)
    engine = pocket(options.model)
    results = []
    head = "over input | frame by frame | (same seed) | teacher over input | by contrast | borders | within"
    print(f"{'clip':18}{'style':15}{head}")
    for clip in options.clips:
        for result in measure(engine, clip, real_clip(clip, options.frames), options.styles):
            results.append(result)
            print(line(result), flush=True)
    return report.finish(
        {"machine": report.machine(engine), "results": [asdict(r) for r in results]},
        broken_bars(results),
        options.report,
    )


def line(r: Steadiness) -> str:
    """One row of what `main` prints."""
    figures = (
        r.over_input,
        r.over_frame_by_frame,
        r.over_frame_by_frame_same_seed,
        r.teacher_over_input,
        r.over_input_by_contrast,
        r.borders_over_input,
        r.within_over_input,
    )
    return f"{r.clip:18}{r.style:15}" + "  ".join(f"{figure:5.2f}" for figure in figures)


def _alone(engine: Engine, frame_HWC: Frames, settings: StreamSettings) -> Frames:
    still = torch.from_numpy(np.array(frame_HWC)).permute(2, 0, 1)
    stream = engine.open_stream(settings, *frame_HWC.shape[:2])
    painted = stream.push(still.expand(stream.frames_per_chunk, -1, -1, -1)) or stream.flush()
    assert painted is not None
    # The last of the copies: the autoencoder has seen most of them there.
    alone: Frames = painted.frames_TCHW[-1].permute(1, 2, 0).cpu().numpy()
    return alone


def _rms(rms_T: Sequence[float], *, at_border: bool) -> float:
    picked = [rms for t, rms in enumerate(rms_T, 1) if (t % CHUNK_FRAMES == 0) == at_border]
    return float(np.sqrt(np.mean(np.square(picked))))


if __name__ == "__main__":
    sys.exit(main())
