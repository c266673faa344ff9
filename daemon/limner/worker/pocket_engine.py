"""A model of limner.engine behind the worker's protocols. The only file of the worker that imports torch.

Legend: T frames of a chunk, C channels, H×W pixels, 4 = RGBA bytes of a slot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import limner.pocket
from limner.daemon.protocol import Settings
from limner.daemon.worker_protocol import Open
from limner.engine.slo_plan import FRAMES_PER_LATENT, Plan, sizes_from
from limner.worker.engines import Abilities, FatalEngineError, Painted, PaintStream, Pixels, Progress

if TYPE_CHECKING:
    from torch import Tensor

    from limner.engine.engine import Engine
    from limner.engine.stream import Stream
    from limner.engine.types import Painted as EnginePainted
    from limner.engine.types import StreamSettings

FOLDER = Path(limner.pocket.__file__).parent
CONFIG = FOLDER / "pocket.toml"
WEIGHTS = FOLDER / "weights.safetensors"
# What a 16:9 source is painted at; the libraries choose their kernels at the first picture of a size.
WARM_SIZE = (320, 176)
OPAQUE = 255
MOST_CHUNK_LATENTS = 4


def load(
    *, threads: int, progress: Progress, weights: Path | Mapping[str, Tensor] = WEIGHTS
) -> TorchPaintEngine:
    """Load `pocket` and paint a little, so that the first real picture is not slow.

    Raises EngineError when config or weights cannot be used.
    """
    progress(0.05, "Loading the libraries")
    import torch  # slow: the progress before it must be seen

    from limner.engine.config import ModelConfig
    from limner.engine.engine import Engine

    torch.set_num_threads(threads)
    progress(0.5, "Loading pocket")
    engine = Engine(ModelConfig.from_toml(CONFIG), weights, threads=threads)
    progress(0.7, "Warming up pocket")
    # The smaller sizes too: they are for when the machine is busy already.
    for width, height in sizes_from(WARM_SIZE, engine.config.sizes):
        engine.warm_up(height, width)
    return TorchPaintEngine(engine)


class TorchPaintEngine:
    """An Engine for the loop."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.model = engine.config.name
        self.device = str(engine.device).upper()
        config = engine.config
        self.frames_per_chunk = config.frames_per_chunk
        self.abilities = Abilities(
            sizes=config.sizes,
            default_chunk=config.latent_frames_per_chunk,
            most_chunk=min(MOST_CHUNK_LATENTS, config.dit.recent_frames),
        )

    def open_stream(self, opening: Open, plan: Plan | None) -> PaintStream:
        """Make a stream; raises EngineError where the size or the settings do not fit the model."""
        assert plan is not None, "an engine with abilities is given a plan"
        settings = _for_engine(opening.settings, opening.rev, opening.fps, plan)
        stream = self._engine.open_stream(settings, opening.height, opening.width)
        return _TorchStream(stream, opening.fps)


class _TorchStream:
    def __init__(self, stream: Stream, fps: float) -> None:
        import torch

        self._stream, self._fps = stream, fps
        shape = (MOST_CHUNK_LATENTS * FRAMES_PER_LATENT, 3, stream.height, stream.width)
        self._frames_TCHW = torch.empty(shape, dtype=torch.uint8)
        self._from_numpy = torch.from_numpy

    @property
    def frames_per_chunk(self) -> int:
        return self._stream.frames_per_chunk

    def push(self, frames: Sequence[Pixels], taken: Callable[[], None]) -> Painted | None:
        chunk_TCHW = self._frames_TCHW[: len(frames)]
        for frame_CHW, frame_HW4 in zip(chunk_TCHW, frames, strict=True):
            frame_CHW.copy_(self._from_numpy(frame_HW4[..., :3]).permute(2, 0, 1))
        taken()
        with _memory_errors_named():
            return self._adapt(self._stream.push(chunk_TCHW))

    def update(self, settings: Settings, rev: int, plan: Plan | None) -> None:
        assert plan is not None, "an engine with abilities is given a plan"
        self._stream.update(_for_engine(settings, rev, self._fps, plan))

    def flush(self) -> Painted | None:
        with _memory_errors_named():
            return self._adapt(self._stream.flush())

    def reset(self) -> None:
        self._stream.reset()

    def _adapt(self, painted: EnginePainted | None) -> Painted | None:
        if painted is None:
            return None
        frames_THWC = painted.frames_TCHW.cpu().permute(0, 2, 3, 1)

        def write(number: int, slot_HW4: Pixels) -> None:
            slot_HW4[..., :3] = frames_THWC[number].numpy()
            slot_HW4[..., 3] = OPAQUE

        times = painted.stage_ms
        return Painted(
            chunk=painted.chunk,
            chunks=painted.chunks,
            rev=painted.revision,
            write=write,
            stages_ms={
                "encode": times.encode,
                "noise": times.noise,
                "denoise": times.denoise,
                "decode": times.decode,
            },
            strength=painted.strength,
            note=self._note(),
        )

    def _note(self) -> str:
        unknown = self._stream.unknown_words
        return f"words that the model does not know: {', '.join(unknown)}" if unknown else ""


def _for_engine(settings: Settings, rev: int, fps: float, plan: Plan) -> StreamSettings:
    """Return what a session asks for in the engine's terms. Times become frames of those that are painted."""
    from limner.engine.types import MOST_TRANSITION_FRAMES, PromptShare, StreamSettings

    frames = round(settings.transition_ms / 1000 * fps / plan.frame_step)
    return StreamSettings(
        prompt=settings.prompt,
        mix=tuple(PromptShare(prompt=share.prompt, weight=share.weight) for share in settings.mix),
        transition_frames=min(MOST_TRANSITION_FRAMES, frames),
        recache=settings.recache,
        strength=settings.strength,
        steps=plan.steps,
        stream_batch=plan.stream_batch,
        chunk_latents=plan.chunk_latents,
        size=plan.size,
        seed=settings.seed,
        motion_aware=settings.motion_aware,
        motion_window=settings.motion_window,
        motion_smoothing=settings.motion_smoothing,
        motion_low=settings.motion_low,
        motion_high=settings.motion_high,
        motion_hysteresis=settings.motion_hysteresis,
        cuts=settings.cuts,
        revision=rev,
    )


@contextmanager
def _memory_errors_named() -> Iterator[None]:
    """Torch says "not enough memory" in many ways, and a broken device stays broken."""
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if "out of memory" in text or "can't allocate memory" in text:
            raise MemoryError(text.splitlines()[0]) from error
        if "CUDA error" in text:
            raise FatalEngineError(text.splitlines()[0]) from error
        raise
