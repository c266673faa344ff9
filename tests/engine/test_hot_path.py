"""The hot path: nobody waits for the device, and nothing grows."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.engine.streaming import clip, frames_of, numbers_of, painted, settings_of, stream_of
from tests.engine.tiny import random_weights, tiny_config, with_threshold
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

from limner.engine.blend import SoftText
from limner.engine.config import ModelConfig
from limner.engine.cuts import CutDetector
from limner.engine.dit.model import CausalDiT
from limner.engine.engine import Engine
from limner.engine.frames import Uploader
from limner.engine.motion import MotionController
from limner.engine.noise import NoiseConfig, NoiseSource
from limner.engine.prompts import PromptTrack
from limner.engine.text_stage import TextStage

WAITING = ("_local_scalar_dense", "item", "is_nonzero", "nonzero", "masked_select", "unique", "equal")


class NobodyWaits(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no types here
    """Fails at any operation that needs a number of the device on the host."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        by_mask = name.startswith("index") and any(
            isinstance(index, Tensor) and index.dtype == torch.bool for index in tree_leaves(args)
        )
        assert name not in WAITING and not by_mask, f"{func} waits for the device"
        return func(*args, **(kwargs or {}))


def nobody_waits() -> NobodyWaits:
    return NobodyWaits()  # type: ignore[no-untyped-call]


MODES = [{"steps": 1}, {"steps": 4}, {"steps": 3, "stream_batch": False}, {"chunk_latents": 2, "steps": 2}]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("config", [tiny_config(), with_threshold(tiny_config(kind="fresh"), 0.2)])
def test_denoising_never_waits_for_the_device(config: ModelConfig, mode: dict[str, Any]) -> None:
    stream = stream_of(Engine(config, random_weights(config), dtype=torch.float32), **mode)
    chunks = clip(12, frames=stream.frames_per_chunk)
    for chunk in chunks:
        noised = stream.encode(chunk)  # Texts and cuts are looked at on the host, before anything is sent.
        with nobody_waits():
            stream.denoise(noised)


@pytest.mark.parametrize("mode", MODES)
def test_no_stage_waits_for_the_device(mode: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """From uploaded frames to frames on their way to the host, new texts included.

    Thumbnails and texts are looked at on the host, where they are: of those alone numbers may be asked.
    """
    config = dataclasses.replace(tiny_config(kind="fresh"), steady=False)
    stream = stream_of(Engine(config, random_weights(config), dtype=torch.float32), **mode)
    for owner, method in ((CutDetector, "watch"), (TextStage, "adopt"), (PromptTrack, "push")):
        monkeypatch.setattr(owner, method, on_the_host(getattr(owner, method)))
    monkeypatch.setattr(SoftText, "tokens", on_the_host(SoftText.tokens))
    uploader, chunks = Uploader(torch.device("cpu")), clip(12, frames=stream.frames_per_chunk)
    for i, chunk in enumerate(chunks):
        uploaded = uploader.push([*torch.nn.functional.pad(chunk.permute(0, 2, 3, 1), (0, 1))])
        if i == 6:
            stream.update(settings_of(prompt="neon", transition_frames=8, **mode))
        with nobody_waits():
            stream.painting(stream.denoise(stream.encode(uploaded)), download=True)


def on_the_host(method: Callable[..., Any]) -> Callable[..., Any]:
    def unwatched(*args: Any, **kwargs: Any) -> Any:
        with _disable_current_modes():
            return method(*args, **kwargs)

    return unwatched


def test_choosing_the_strength_never_waits_for_the_device() -> None:
    controller = MotionController(NoiseConfig())
    with nobody_waits():
        for i, chunk in enumerate(clip(12)):
            controller.push(chunk, settings_of(motion_aware=i % 3 > 0, motion_window=1 + 7 * i))


def test_the_check_notices_who_waits() -> None:
    with nobody_waits(), pytest.raises(AssertionError, match="waits for the device"):
        float(torch.ones(3).sum())
    with nobody_waits(), pytest.raises(AssertionError, match="waits for the device"):
        torch.ones(3)[torch.tensor([True, False, True])]


def tensors_alive() -> int:
    gc.collect()
    return sum(issubclass(type(thing), Tensor) for thing in gc.get_objects())


@pytest.mark.parametrize("mode", MODES)
def test_nothing_grows(engine: Engine, mode: dict[str, Any]) -> None:
    stream = stream_of(engine, **mode)
    chunk = clip(1, frames=stream.frames_per_chunk)[0]
    alive = []
    for _ in range(3):
        for _ in range(60):
            stream.push(chunk)
        alive.append(tensors_alive())
    assert alive[1] == alive[2]


@pytest.mark.parametrize("stream_batch", [True, False])
@pytest.mark.parametrize(("owner", "method"), [(CausalDiT, "denoise"), (NoiseSource, "draw")])
def test_a_denoiser_that_fails_costs_the_context_and_no_more(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, owner: type, method: str, stream_batch: bool
) -> None:
    settings = {"steps": 3, "stream_batch": stream_batch, "motion_aware": False}
    stream, chunks = stream_of(engine, **settings), clip(10)
    before = [stream.push(chunk) for chunk in chunks[:4]]
    works, calls = getattr(owner, method), 0

    def failing(self: object, *args: Any, **kwargs: Any) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 2:  # Of the noise, the first is the encoder's.
            raise MemoryError
        result: Tensor = works(self, *args, **kwargs)
        return result

    monkeypatch.setattr(owner, method, failing)
    with pytest.raises(MemoryError):
        [stream.push(chunk) for chunk in chunks[4:6]]
    after = painted(stream, chunks[6:])
    assert numbers_of(one for one in before if one is not None) == ([0, 1] if stream_batch else [0, 1, 2, 3])
    first = stream.encode(chunks[0]).index - 4
    assert numbers_of(after) == list(range(first, first + 4))
    assert len(frames_of(after)) == 16
