"""From a model's files to an engine that is warm, with progress in words."""
# ruff: noqa: PLC0415  (torch loads under a progress report)

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from limner.daemon.sizes import EngineTraits, traits_of, working_size
from limner.engine.slo_plan import sizes_from
from limner.models.paths import cache_dir
from limner.models.plan_bytes import TextPlace
from limner.models.plan_choice import Wishes
from limner.models.words import size
from limner.worker.engines import Progress
from limner.worker.model_engine import TorchPaintEngine
from limner.worker.model_plan import Planned, planned
from limner.worker.model_source import POCKET, ModelSource
from limner.worker.model_terms import memory_errors_named

if TYPE_CHECKING:
    from torch import Tensor

    from limner.engine.config import ModelConfig
    from limner.engine.engine import Engine
    from limner.engine.loading import PartProgress, Weights
    from limner.worker.crew.engine import CrewEngine
    from limner.worker.crew.start import CrewPlan

WARM_CHUNKS = 5
# What most sources look like; the libraries choose their kernels at the first picture of a size.
WARM_SOURCE = (1920, 1080)
SAY_EVERY_S = 0.2
FOR_GOOD_S = 1e7
LIBRARIES, WEIGHTS, WARMING = 0.05, 0.2, 0.8
"""Where on the way to ready each of these begins, 0..1."""


def load(
    source: ModelSource,
    *,
    threads: int,
    device: str,
    progress: Progress,
    wishes: Wishes | None = None,
    step_down: int = 0,
    weights: Mapping[str, Tensor] | None = None,
    ranks: CrewPlan | None = None,
) -> TorchPaintEngine:
    """Load a model and paint a little, so that the first real picture is not slow.

    `wishes`: what the user insists on of a GPU's memory; `step_down`: plans that were too much already.
    `weights`: instead of those of the source's files. `ranks`: what paints with this process. Raises
    NoRoomError when it does not fit, EngineError when config, weights or device cannot be used, MemoryError
    when there was less than planned for.
    """
    progress(LIBRARIES, "Loading the libraries")
    keep_what_is_compiled()
    import cv2
    import torch  # slow: the progress before it must be seen

    from limner.engine.engine import Engine

    # Its pictures are small, and the lanes are threads enough.
    cv2.setNumThreads(1)
    torch.set_num_threads(threads)
    where = chosen_device(device, source.name)
    with memory_errors_named():
        engine: Engine
        crew: CrewEngine | None = None
        with _importing_the_encoder(source):
            if ranks is not None:
                crew, model = _over_ranks(
                    ranks, source, where, wishes or Wishes(), step_down, threads=threads, progress=progress
                )
                engine = crew
            else:
                model = planned(source, where, wishes or Wishes(), step_down)
                progress(WEIGHTS, _loading_words(model))
                engine = Engine(
                    config_of(model.source),
                    weights if weights is not None else weights_of(model.source),
                    device=where,
                    threads=threads,
                    weight_kind=model.weight_kind,
                    on_progress=_told(source.name, progress),
                )
        connect_text(engine, model.source, model.choice.text if model.choice else "cpu")
        painter = TorchPaintEngine(engine, threads, model.caps, crew)
        progress(WARMING, f"Warming up {source.name}")
        _warm_up(painter, source.name)
    return painter


def keep_what_is_compiled() -> None:
    """Let torch keep what it compiles for this machine, so that only the first start takes longer.

    Before anything is compiled; the ranks that are started here inherit it.
    """
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_dir() / "compiled"))


@contextmanager
def _importing_the_encoder(source: ModelSource) -> Iterator[None]:
    """Import what text encoders are made of, which takes 2 s, while the weights are read."""
    if source.table["text"].get("kind") != "umt5":
        yield
        return
    from limner.engine.wan.text_load import import_encoder

    def work() -> None:
        with suppress(ImportError):  # It is said when the encoder is connected.
            import_encoder()

    thread = threading.Thread(target=work, name="limner-importing")
    thread.start()
    try:
        yield
    finally:
        thread.join()


def _over_ranks(
    ranks: CrewPlan,
    source: ModelSource,
    device: str,
    wishes: Wishes,
    step_down: int,
    *,
    threads: int,
    progress: Progress,
) -> tuple[CrewEngine, Planned]:
    """Load what this process needs of a model that other ranks paint with as well; and how it was planned."""
    from limner.worker.crew.start import begin_crew, crew_engine, planned_with

    crew = begin_crew(ranks, source, device=device, threads=threads)
    try:
        model, rooms = planned_with(
            crew, source, device=device, wishes=wishes, step_down=step_down, progress=progress
        )
        progress(WEIGHTS, _loading_words(model))
        engine = crew_engine(
            crew,
            rooms,
            config_of(model.source),
            weights_of(model.source),
            device=device,
            progress=progress,
            share=WARMING,
            weight_kind=model.weight_kind,
            on_progress=_told(source.name, progress),
        )
    except BaseException:
        crew.close()
        raise
    return engine, model


def _loading_words(model: Planned) -> str:
    return f"{model.source.name}: {model.told}" if model.told else f"Loading {model.source.name}"


def config_of(source: ModelSource) -> ModelConfig:
    """Return the engine's config; ConfigError names the file and the key that is wrong."""
    from limner.engine.config import ModelConfig
    from limner.engine.errors import ConfigError

    try:
        return ModelConfig.from_table(source.table)
    except (ConfigError, ValueError) as error:
        raise ConfigError(f"{source.origin}: {error}") from error


def weights_of(source: ModelSource) -> Weights:
    """Return the files of the weights as the engine wants to have them."""
    from limner.engine.files import ModelFiles

    paths = source.paths
    if "weights" in paths:
        return paths["weights"]
    vae_kind = source.table["vae"].get("kind")
    return ModelFiles(
        dit=paths["dit"],
        vae=paths["taehv" if vae_kind == "taehv" else "vae"],
        text_encoder=paths["text_encoder"],
        tokenizer=paths["tokenizer"],
        dit_key=source.dit_key,
    )


def connect_text(engine: Engine, source: ModelSource, place: TextPlace = "cpu") -> None:
    """Give a text encoder that comes and goes its files and its place, and a folder for what it made."""
    from limner.engine.wan.text import IDLE_S, Umt5Text

    text, paths, device = engine.text, source.paths, engine.device
    if not isinstance(text, Umt5Text) or "text_encoder" not in paths or "tokenizer" not in paths:
        return
    from limner.engine.wan.text_load import Umt5Files, connect_umt5, room_on

    files = Umt5Files(encoder=paths["text_encoder"], tokenizer=paths["tokenizer"])
    connect_umt5(
        text,
        files,
        device=device,
        fits=(lambda _: False) if place == "cpu" else room_on(device),
        cache_dir=cache_dir() / "texts",
        idle_s=FOR_GOOD_S if place == "gpu" else IDLE_S,
    )


def chosen_device(wanted: str, model: str) -> str:
    """Return the device for a wish; "auto": the GPU, else the CPU, where pocket is at home always."""
    import torch

    if wanted != "auto":
        return wanted
    return "cuda" if model != POCKET and torch.cuda.is_available() else "cpu"


def _told(name: str, progress: Progress) -> PartProgress:
    """Turn bytes of a part into a sentence. The denoiser is nearly all that there is to load."""

    said_s = 0.0

    def told(part: str, done_bytes: int, total_bytes: int) -> None:
        nonlocal said_s
        now_s, share = time.monotonic(), done_bytes / max(1, total_bytes)
        if share < 1 and now_s - said_s < SAY_EVERY_S:
            return
        said_s = now_s
        at = WEIGHTS + (WARMING - WEIGHTS) * share if part == "denoiser" else WEIGHTS
        progress(at, f"Loading {name}, {part}: {size(done_bytes)} of {size(total_bytes)}")

    return told


def _warm_up(painter: TorchPaintEngine, name: str) -> None:
    traits: EngineTraits = traits_of(name)
    most_px = painter.abilities.caps.area_px
    if most_px is not None:
        traits = replace(traits, area_px=min(traits.area_px, most_px))
    wanted, *smaller = sizes_from(working_size(*WARM_SOURCE, traits), painter.abilities.sizes)
    first, *others = painter.warm_steps
    painter.warm_up(wanted[1], wanted[0], max(WARM_CHUNKS, painter.steady_after), first)
    for steps in others:
        # From one row to all of them; at its end one by one again.
        painter.warm_up(wanted[1], wanted[0], steps + 1, steps)
    # The smaller sizes too: they are for when the machine is busy already.
    for width, height in smaller:
        painter.warm_up(height, width, 1)
    painter.settle()
