"""Whole streams on CUDA: what the CPU paints, with graphs and without, on lanes and without."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import pytest
import torch
from tests.benchmarks.gpu_models import WORD, config_of, random_model
from tests.benchmarks.gpu_rows import Way
from tests.engine.streaming import clip, frames_of, settings_of
from tests.engine.tiny import random_weights, tiny_config, with_threshold
from tests.gpu.device import DEVICE, IS_CUDA, ON_DEVICE
from torch import Tensor

from limner.engine.device_lanes import DeviceLanes
from limner.engine.engine import Engine
from limner.engine.frames import Uploader
from limner.engine.loading import set_vae_dtype
from limner.engine.overlap import OverlappedStream
from limner.engine.stream import Stream
from limner.engine.types import Painted, StreamSettings

pytestmark = ON_DEVICE
HEIGHT, WIDTH = 32, 48
MODES = [{"steps": 1}, {"steps": 3}, {"steps": 2, "stream_batch": False}, {"chunk_latents": 2, "steps": 2}]
SAME_LEVELS = 2.0
"""Mean difference of painted pixels, 0..255, at which two devices paint the same in float32."""


@pytest.fixture(autouse=True)
def exact() -> Iterator[None]:
    """Float32 as it is, without TF32."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def tiny_on(device: torch.device) -> Engine:
    # Static noise: the generators of two devices do not give the same.
    config = with_threshold(tiny_config(kind="static"), 0.2)
    return Engine(config, random_weights(config), device=device, dtype=torch.float32)


def wan_on(device: torch.device, vae: Literal["wan", "taehv"], dtype: torch.dtype) -> Engine:
    config = config_of(Way(model="tiny", vae=vae))
    model = random_model(config, torch.device("cpu"), dtype)
    set_vae_dtype(model, device, dtype)
    model = model.to(device)
    return Engine(config, model, device=device, dtype=dtype)


def open_on(engine: Engine, *, graphs: bool = True, **changes: Any) -> Stream:
    return engine.open_stream(settings_of(**changes), HEIGHT, WIDTH, graphs=graphs)


def paint(stream: Stream, chunks: list[Tensor]) -> list[Painted]:
    done = [stream.push(chunk) for chunk in chunks]
    return [one for one in [*done, stream.flush()] if one is not None]


def apart(a: list[Painted], b: list[Painted]) -> float:
    """Mean difference of all pixels, 0..255."""
    frames = [frames_of(side).cpu().float() for side in (a, b)]
    return float((frames[0] - frames[1]).abs().mean())


def test_the_gpu_paints_what_the_cpu_paints() -> None:
    """Without noise, which comes from each device's own generator."""
    chunks, devices = clip(10), (torch.device("cpu"), DEVICE)
    on_cpu, on_gpu = (paint(open_on(tiny_on(device), strength=0.0), chunks) for device in devices)
    assert apart(on_cpu, on_gpu) < SAME_LEVELS


def test_the_gpus_transformer_gives_what_the_cpus_gives() -> None:
    torch.manual_seed(3)
    engines = [tiny_on(device) for device in (torch.device("cpu"), DEVICE)]
    x_BTCHW, text_BSE = torch.randn(1, 6, 8, 4, 6), torch.randn(1, 3, 8)
    outs = []
    for engine, device in zip(engines, (torch.device("cpu"), DEVICE), strict=True):
        sigma = torch.full((1, 6), 0.7, device=device)
        with torch.inference_mode():
            dit = open_on(engine).model.dit
            outs.append(dit.forward_clip(x_BTCHW.to(device), sigma, text_BSE.to(device)).cpu())
    assert float((outs[0] - outs[1]).norm() / outs[0].norm()) < 1e-4


@pytest.mark.parametrize("mode", MODES)
def test_graphs_give_what_calls_give(mode: dict[str, Any]) -> None:
    engine = tiny_on(DEVICE)
    streams = [open_on(engine, graphs=graphs, **mode) for graphs in (False, True)]
    frames = streams[0].frames_per_chunk
    dark = [torch.zeros(frames, 3, HEIGHT, WIDTH, dtype=torch.uint8)] * 3
    chunks = [*clip(14, frames=frames), *dark, *clip(8, seed=9, frames=frames)]
    plain, replayed = [paint(stream, chunks[:12]) for stream in streams]
    for stream in streams:
        stream.update(settings_of(prompt="neon", transition_frames=8, **mode))
    plain += paint(streams[0], chunks[12:])
    replayed += paint(streams[1], chunks[12:])
    assert apart(plain, replayed) < 0.02


@pytest.mark.parametrize("vae", ["wan", "taehv"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_wan_is_replayed_alike(vae: Literal["wan", "taehv"], dtype: torch.dtype) -> None:
    engine = wan_on(DEVICE, vae, dtype)
    settings = StreamSettings(prompt=WORD, strength=0.8, steps=2)
    streams = [engine.open_stream(settings, HEIGHT, WIDTH, graphs=graphs) for graphs in (False, True)]
    plain, replayed = [paint(stream, clip(12)) for stream in streams]
    for stream in streams:
        stream.reset()
    plain += paint(streams[0], clip(8, seed=2))
    replayed += paint(streams[1], clip(8, seed=2))
    assert apart(plain, replayed) < 0.02


@pytest.mark.parametrize("steps", [1, 3])
def test_lanes_give_what_pushes_give(steps: int) -> None:
    """Many chunks, so that a tensor whose memory went too early would be noticed."""
    engine, chunks = wan_on(DEVICE, "taehv", torch.float32), clip(40)
    settings = StreamSettings(prompt=WORD, strength=0.8, steps=steps)
    wanted = paint(engine.open_stream(settings, HEIGHT, WIDTH), chunks)
    uploader, got = Uploader(DEVICE), list[Painted]()
    with DeviceLanes(DEVICE) as lanes:
        stream = OverlappedStream(engine.open_stream(settings, HEIGHT, WIDTH), lanes)
        for chunk in chunks:
            slots = torch.nn.functional.pad(chunk.permute(0, 2, 3, 1), (0, 1)).contiguous()
            stream.push(uploader.push([*slots]))
            slots.fill_(7)
            got += stream.collect()
        got += stream.drain()
        for painted in got:
            assert painted.rgba_THW4 is not None
            assert painted.rgba_THW4.is_pinned() == IS_CUDA
            assert torch.equal(painted.rgba_THW4[..., :3], painted.frames_TCHW.permute(0, 2, 3, 1).cpu())
        got += stream.flush()
    assert [one.chunk for one in got] == [one.chunk for one in wanted]
    assert apart(got, wanted) < 0.02


def test_streams_share_lanes() -> None:
    engine, settings = tiny_on(DEVICE), settings_of(steps=2, steadiness=0.0)
    clips = [clip(16, seed=1), clip(16, seed=2)]
    wanted = [paint(engine.open_stream(settings, HEIGHT, WIDTH), chunks) for chunks in clips]
    with DeviceLanes(DEVICE) as lanes:
        streams = [OverlappedStream(engine.open_stream(settings, HEIGHT, WIDTH), lanes) for _ in clips]
        got: list[list[Painted]] = [[], []]
        for chunks in zip(*clips, strict=True):
            for stream, chunk, parts in zip(streams, chunks, got, strict=True):
                stream.push(chunk)
                parts.extend(stream.collect())
        for stream, parts in zip(streams, got, strict=True):
            parts.extend(stream.flush())
    for one, other in zip(got, wanted, strict=True):
        assert apart(one, other) < 0.02
