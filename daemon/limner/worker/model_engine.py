"""A model of limner.engine behind the worker's protocols.

Legend: T frames of a chunk, C channels, H×W pixels, 4 = RGBA bytes of a slot.
"""
# ruff: noqa: PLC0415  (torch loads under a progress report)

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from limner.daemon.protocol import Settings
from limner.daemon.worker_protocol import Open
from limner.engine.slo_cost import Profile
from limner.engine.slo_plan import Plan
from limner.models.paths import loras_dir
from limner.worker.blank import BlankWatch
from limner.worker.engines import Abilities, FatalEngineError, Painted, PaintStream, Pixels
from limner.worker.frames_in import MOST_CHUNK_LATENTS, FramesIn, frames_into
from limner.worker.loras import LoraDesk
from limner.worker.memory import MemoryCaps
from limner.worker.model_terms import fault_named, for_engine, memory_errors_named, note_of
from limner.worker.stats import RanksNow

if TYPE_CHECKING:
    import torch

    from limner.engine.engine import Engine
    from limner.engine.overlap import AnyLanes, OverlappedStream
    from limner.engine.types import Painted as EnginePainted
    from limner.worker.crew.engine import CrewEngine

OPAQUE = 255
MOST_STEPS = 4


def _ranks_of(crew: CrewEngine | None) -> int:
    """Return how many ranks paint as it begins, with this one. What a lost one costs is measured, later."""
    formation = None if crew is None else crew.formation
    return 1 if formation is None else 1 + len(formation.ranks)


class TorchPaintEngine:
    """An Engine for the loop."""

    def __init__(
        self, engine: Engine, threads: int, caps: MemoryCaps | None = None, crew: CrewEngine | None = None
    ) -> None:
        """`crew`: the engine, where it is one over several ranks."""
        self._engine, self._crew = engine, crew
        self._lanes = _lanes(engine, threads) if crew is None else _lanes_over(crew)
        self._loras = LoraDesk(engine, self._lanes, loras_dir())
        self.model = engine.config.name
        self.device = _name_of(engine.device)
        config = engine.config
        self.frames_per_chunk = config.frames_per_chunk
        most_chunk = min(MOST_CHUNK_LATENTS, config.dit.recent_frames)
        self.abilities = Abilities(
            sizes=config.sizes,
            default_chunk=config.latent_frames_per_chunk,
            most_chunk=most_chunk,
            profile=Profile(overlaps=True, abreast=_ranks_of(crew)),
            frames_behind=config.vae.frames_behind,
            caps=caps or MemoryCaps(),
            most_together=self._lanes.most_together,
        )

    def open_stream(self, opening: Open, plan: Plan | None) -> PaintStream:
        """Make a stream; raises EngineError where the size or the settings do not fit the model."""
        from limner.engine.overlap import OverlappedStream

        assert plan is not None, "an engine with abilities is given a plan"
        settings = for_engine(opening.settings, opening.rev, opening.fps, plan)
        with memory_errors_named():
            stream = self._engine.open_stream(settings, opening.height, opening.width)
            frames_in = frames_into(self._engine, self._lanes, opening.height, opening.width)
        self._loras.want(opening.settings.lora)
        overlapped = OverlappedStream(stream, self._lanes)
        return _TorchStream(overlapped, frames_in, opening.fps, self._loras, self._fatal)

    def lock_pages(self, memory: memoryview) -> Callable[[], None]:
        """Let the device read this memory by itself; the returned function ends that."""
        from limner.engine.page_lock import PageLock

        return PageLock(memory, self._engine.device).close

    def ranks(self) -> RanksNow:
        """As `OverRanks`: none where this process paints alone."""
        return RanksNow() if self._crew is None else self._crew.ranks_now()

    def _fatal(self) -> BaseException | None:
        return None if self._crew is None else self._crew.fatal

    @property
    def steady_after(self) -> int:
        """Chunks until a GPU does what it will do from then on: windows are full, and graphs recorded."""
        return self._engine.config.dit.window_frames + 3 if self._engine.device.type == "cuda" else 0

    @property
    def warm_steps(self) -> tuple[int, ...]:
        """Numbers of steps that it must have painted with to know them: with a compiler, one and several."""
        most = self.abilities.caps.steps or MOST_STEPS
        return tuple(range(1, most + 1)) if self._engine.compiles else (1,)

    def settle(self) -> None:
        """It is warm: prepare nothing more that would take a live stream's time."""
        self._engine.settle()

    def warm_up(self, height: int, width: int, chunks: int, steps: int = 1) -> None:
        """Paint a little at this size, on the lanes that will."""
        import torch

        from limner.engine.overlap import OverlappedStream
        from limner.engine.types import StreamSettings

        # Not one that has to be encoded first: nothing is painted until that has come.
        settings = StreamSettings(prompt=self._engine.text.stand_in, steps=steps)
        stream = OverlappedStream(self._engine.open_stream(settings, height, width), self._lanes)
        for _ in range(chunks):
            stream.push(torch.zeros(stream.stream.frames_per_chunk, 3, height, width, dtype=torch.uint8))
        stream.flush()

    def prepare(self, prompts: Sequence[str]) -> None:
        """Encode these when nothing else is to be encoded, so that changes to them come at once."""
        self._engine.text.prepare(prompts)

    def ask(self, settings: Settings, then: Callable[[], None]) -> Callable[[], bool]:
        """As `PaintEngine.ask`: each prompt is there when it is encoded, or cannot be."""
        prompts = [share.prompt for share in settings.mix] or [settings.prompt]
        asked = [self._engine.text.ask(prompt) for prompt in prompts]
        for one in asked:
            if not one.done():
                one.add_done_callback(lambda _: then())
        return lambda: all(one.done() for one in asked)

    def share(self, most: int) -> bool:
        """As `SharesForwards`."""
        return self._lanes.share(most)

    def free_memory(self) -> bool:
        """Give back to the device what no stream holds: the text encoder first, which is large."""
        has_room = self._engine.text.let_go() and self._engine.device.type == "cuda"
        self._engine.free_memory()
        return has_room

    def close(self) -> None:
        """End the lanes and what reads LoRAs and texts."""
        if self._crew is not None:
            self._crew.give_up()
        self._loras.close()
        self._lanes.close()
        self._engine.close()


def _name_of(device: torch.device) -> str:
    """Return what people call it: "CPU", "NVIDIA GeForce RTX 4090 (cuda:0)"."""
    import torch

    if device.type != "cuda":
        return device.type.upper()
    return f"{torch.cuda.get_device_name(device)} ({device})"


def _lanes(engine: Engine, threads: int) -> AnyLanes:
    from limner.engine.device_lanes import DeviceLanes
    from limner.engine.overlap import Lanes

    return DeviceLanes(engine.device) if engine.device.type == "cuda" else Lanes(threads)


def _lanes_over(crew: CrewEngine) -> AnyLanes:
    from limner.worker.crew.lanes import CrewLanes

    return CrewLanes(crew, crew.threads_each)


class _TorchStream:
    def __init__(
        self,
        overlapped: OverlappedStream,
        frames_in: FramesIn,
        fps: float,
        loras: LoraDesk,
        fatal: Callable[[], BaseException | None],
    ) -> None:
        """`fatal`: why the engine cannot go on at all."""
        self._fatal = fatal
        self._overlapped, self._stream, self._fps = overlapped, overlapped.stream, fps
        self._loras = loras
        self._frames_in = frames_in
        self._taking_ms: deque[float] = deque()
        """Of the chunks that are inside, oldest first."""
        self._watch = BlankWatch()

    @property
    def on_painted(self) -> Callable[[], None]:
        return self._overlapped.on_painted

    @on_painted.setter
    def on_painted(self, callback: Callable[[], None]) -> None:
        self._overlapped.on_painted = callback

    @property
    def frames_per_chunk(self) -> int:
        return self._stream.frames_per_chunk

    @property
    def is_full(self) -> bool:
        return self._overlapped.is_full

    @property
    def is_working(self) -> bool:
        return self._overlapped.inside > 0

    def push(self, frames: Sequence[Pixels], taken: Callable[[], None]) -> Painted | None:
        began_s = time.perf_counter()
        self._watch.took(frames)
        with memory_errors_named():
            chunk = self._frames_in.take(frames)
        taken()
        self._taking_ms.append((time.perf_counter() - began_s) * 1000)
        with memory_errors_named():
            self._loras.put_in_force()
            self._overlapped.push(chunk)
        return None

    def collect(self) -> list[Painted]:
        return self._all_of(self._overlapped.collect)

    def flush(self) -> list[Painted]:
        # What is on the lanes first: chunks may be lost there, and the others go on.
        return self._all_of(self._overlapped.drain) + self._all_of(self._overlapped.flush)

    def _all_of(self, take: Callable[[], list[EnginePainted]]) -> list[Painted]:
        """Take what was painted; chunks that are lost are passed over, as long as the engine can go on."""
        from limner.engine.errors import ChunkLostError

        ready: list[Painted] = []
        with memory_errors_named():
            while True:
                try:
                    ready += [self._adapt(painted) for painted in take()]
                except ChunkLostError as error:
                    if (fatal := self._fatal()) is not None:
                        raise FatalEngineError(str(fatal)) from error
                    self._taking_ms.popleft()
                    self._watch.lost()
                    if (named := fault_named(str(error))) is not None:
                        # It was our own rank's: the next chunk would be lost as well.
                        raise named from error
                if not self._overlapped.is_ready:
                    return ready

    def reset(self) -> None:
        with memory_errors_named():
            self._overlapped.reset()
        self._taking_ms.clear()
        self._watch.begin_anew()

    def update(self, settings: Settings, rev: int, plan: Plan | None) -> None:
        assert plan is not None, "an engine with abilities is given a plan"
        self._overlapped.update(for_engine(settings, rev, self._fps, plan))
        self._loras.want(settings.lora)

    def _adapt(self, painted: EnginePainted) -> Painted:
        taking_ms = [self._taking_ms.popleft() for _ in range(painted.chunks)]
        times = painted.stage_ms
        frames_THWC = _on_host(painted)
        return Painted(
            chunk=painted.chunk,
            chunks=painted.chunks,
            rev=painted.revision,
            write=partial(_write, frames_THWC),
            stages_ms={
                "encode": times.encode,
                "noise": times.noise,
                "denoise": times.denoise,
                "decode": times.decode,
                "other": taking_ms[-1],
            },
            strength=painted.strength,
            note=note_of(painted.text_note, self._loras.note, painted.unknown_words),
            waits=painted.waits_for_text,
            together=painted.together,
            is_blank=self._watch.is_blank(frames_THWC[-1], painted.chunks),
            is_cut=painted.is_cut,
        )


def _on_host(painted: EnginePainted) -> Pixels:
    """Return frames_THWC: of 4 colours, ready to show, where they came so from the device; else of 3."""
    if painted.rgba_THW4 is not None:
        return painted.rgba_THW4.numpy()
    return painted.frames_TCHW.cpu().permute(0, 2, 3, 1).numpy()


def _write(frames_THWC: Pixels, number: int, slot_HW4: Pixels) -> None:
    frame_HWC = frames_THWC[number]
    if frame_HWC.shape[2] == slot_HW4.shape[2]:
        np.copyto(slot_HW4, frame_HWC)
        return
    slot_HW4[..., :3] = frame_HWC
    slot_HW4[..., 3] = OPAQUE
