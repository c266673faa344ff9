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
from limner.worker.engines import FatalEngineError, Painted, PaintStream, Pixels, Progress

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
WARM_HEIGHT, WARM_WIDTH = 176, 320
OPAQUE = 255


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
    engine.warm_up(WARM_HEIGHT, WARM_WIDTH)
    return TorchPaintEngine(engine)


class TorchPaintEngine:
    """An Engine for the loop."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.model = engine.config.name
        self.device = str(engine.device).upper()
        self.frames_per_chunk = engine.config.frames_per_chunk

    def open_stream(self, settings: Settings, rev: int, *, width: int, height: int) -> PaintStream:
        """Make a stream; raises EngineError where the size or the settings do not fit the model."""
        stream = self._engine.open_stream(_for_engine(settings, rev), height, width)
        return _TorchStream(stream)


class _TorchStream:
    def __init__(self, stream: Stream) -> None:
        import torch

        self._stream = stream
        shape = (stream.frames_per_chunk, 3, stream.height, stream.width)
        self._frames_TCHW = torch.empty(shape, dtype=torch.uint8)
        self._from_numpy = torch.from_numpy

    def push(self, frames: Sequence[Pixels], taken: Callable[[], None]) -> Painted | None:
        for frame_CHW, frame_HW4 in zip(self._frames_TCHW, frames, strict=True):
            frame_CHW.copy_(self._from_numpy(frame_HW4[..., :3]).permute(2, 0, 1))
        taken()
        with _memory_errors_named():
            return self._adapt(self._stream.push(self._frames_TCHW))

    def update(self, settings: Settings, rev: int) -> None:
        self._stream.update(_for_engine(settings, rev))

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
            note=self._note(),
        )

    def _note(self) -> str:
        unknown = self._stream.unknown_words
        return f"words that the model does not know: {', '.join(unknown)}" if unknown else ""


def _for_engine(settings: Settings, rev: int) -> StreamSettings:
    from limner.engine.types import StreamSettings

    return StreamSettings(
        prompt=settings.prompt,
        strength=settings.strength,
        steps=settings.steps,
        seed=settings.seed,
        motion_aware=settings.motion_aware,
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
