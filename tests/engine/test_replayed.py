"""Streams whose stages are replayed paint the same frames, bit by bit, whatever happens meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest
import torch
from tests.benchmarks.gpu_models import WORD, config_of, random_model
from tests.benchmarks.gpu_rows import Way
from tests.engine.streaming import clip, frames_of, settings_of, stream_of
from tests.engine.tiny import random_weights, tiny_config, with_threshold
from tests.support.tape import TapeRecorder
from torch import Tensor

from limner.engine.config import ModelConfig
from limner.engine.dit.kv_cache import KVCache
from limner.engine.engine import Engine
from limner.engine.replayed import Stage, no_recorder
from limner.engine.stream import Stream
from limner.engine.types import Painted, StreamSettings

MODES = [
    {"steps": 1},
    {"steps": 3},
    {"steps": 3, "stream_batch": False},
    {"chunk_latents": 2, "steps": 2},
]
CONFIGS = [tiny_config(), with_threshold(tiny_config(kind="fresh"), 0.2)]


def engines(config: ModelConfig) -> tuple[Engine, Engine, list[TapeRecorder]]:
    """One that calls, one that replays, and the recorders of the second."""
    weights = random_weights(config)
    recorders: list[TapeRecorder] = []

    plain = Engine(config, weights, dtype=torch.float32, recorder_of=no_recorder)
    replaying = Engine(config, weights, dtype=torch.float32, recorder_of=recorder_into(recorders))
    return plain, replaying, recorders


def recorder_into(recorders: list[TapeRecorder]) -> Callable[[Stage], TapeRecorder]:
    """Makes recorders and keeps them in the list."""

    def new_recorder(_: Stage) -> TapeRecorder:
        recorders.append(TapeRecorder())
        return recorders[-1]

    return new_recorder


def push_all(streams: tuple[Stream, Stream], chunks: list[Tensor]) -> Iterator[tuple[Painted, Painted]]:
    for chunk in chunks:
        plain, replayed = (stream.push(chunk) for stream in streams)
        assert (plain is None) == (replayed is None)
        if plain is not None and replayed is not None:
            yield plain, replayed


def same(streams: tuple[Stream, Stream], chunks: list[Tensor]) -> None:
    pairs = list(push_all(streams, chunks))
    assert pairs
    plain, replayed = (frames_of(side) for side in zip(*pairs, strict=True))
    assert torch.equal(plain, replayed)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("config", CONFIGS)
def test_replayed_frames_are_the_same(config: ModelConfig, mode: dict[str, Any]) -> None:
    plain, replayed, recorders = engines(config)
    streams = (stream_of(plain, **mode), stream_of(replayed, **mode))
    same(streams, clip(16, frames=streams[0].frames_per_chunk))
    assert sum(recorder.recordings > 0 for recorder in recorders) == 3  # Encoder, transformer, decoder.


def test_a_full_ring_has_a_graph_for_each_of_its_slots() -> None:
    plain, replayed, recorders = engines(tiny_config())
    same((stream_of(plain), stream_of(replayed)), clip(30))
    ring = plain.config.dit.recent_frames
    assert sorted(recorder.recordings for recorder in recorders) == [1, 1, ring]


CHANGES = {
    "text": {"prompt": "neon"},
    "text of another length": {"prompt": "oil neon warm"},
    "slow text": {"prompt": "neon", "transition_frames": 12},
    "mix and recache": {"prompt": "warm", "recache": True},
    "steps": {"steps": 3},
    "one chunk at a time": {"steps": 2, "stream_batch": False},
    "longer chunks": {"chunk_latents": 2},
    "size": {"size": (64, 32)},
    "strength none": {"strength": 0.0},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_changes_there_and_back(change: dict[str, Any]) -> None:
    plain, replayed, _ = engines(tiny_config())
    steps = 2
    streams = (stream_of(plain, steps=steps), stream_of(replayed, steps=steps))
    before = settings_of(steps=steps)
    for number, settings in enumerate((before, settings_of(**{"steps": steps, **change}), before)):
        for stream in streams:
            stream.update(settings)
        same(streams, clip(12, seed=number, frames=streams[0].frames_per_chunk))


def test_a_cut_a_reset_and_a_restored_state() -> None:
    plain, replayed, _ = engines(tiny_config())
    streams = (stream_of(plain, steps=2), stream_of(replayed, steps=2))
    same(streams, clip(14))
    state = streams[1].state()
    dark, light = torch.zeros(4, 3, 32, 48, dtype=torch.uint8), torch.full((4, 3, 32, 48), 255).byte()
    light[..., ::2, :] = 0
    cuts = [replayed.is_cut for _, replayed in push_all(streams, [dark] * 4 + [light] * 8)]
    assert any(cuts)
    same(streams, clip(8, seed=3))
    for stream in streams:
        stream.restore(state)
    same(streams, clip(12, seed=8))
    for stream in streams:
        stream.reset()
    same(streams, clip(12, seed=9))


def test_streams_of_one_engine_do_not_mix() -> None:
    plain, replayed, _ = engines(tiny_config())
    settings = [StreamSettings(prompt=prompt, strength=0.8) for prompt in ("oil", "neon")]
    pairs = [tuple(engine.open_stream(one, 32, 48) for engine in (plain, replayed)) for one in settings]
    for chunks in zip(clip(12, seed=1), clip(12, seed=2), strict=True):
        for (a, b), chunk in zip(pairs, chunks, strict=True):
            one, other = a.push(chunk), b.push(chunk)
            assert one is not None and other is not None
            assert torch.equal(one.frames_TCHW, other.frames_TCHW)


def test_what_cannot_be_recorded_is_painted_all_the_same() -> None:
    config = tiny_config()
    plain, replayed, recorders = engines(config)
    streams = (stream_of(plain), stream_of(replayed))

    def fails(function: object) -> object:
        raise RuntimeError("operation not permitted when stream is capturing")

    for recorder in recorders:
        recorder.record = fails  # type: ignore[method-assign,assignment]
    same(streams, clip(10))


@pytest.mark.parametrize("vae", ["wan", "taehv"])
def test_wan_is_replayed_alike(vae: Literal["wan", "taehv"]) -> None:
    """Its autoencoders prime themselves at the start and after a reset: that is never replayed."""
    way = Way(model="tiny", vae=vae)
    recorders: list[TapeRecorder] = []
    model = random_model(config_of(way), torch.device("cpu"), torch.float32)
    engine = Engine(config_of(way), model, recorder_of=recorder_into(recorders))
    settings = StreamSettings(prompt=WORD, strength=0.8, steps=2)
    streams = tuple(engine.open_stream(settings, 32, 48, graphs=graphs) for graphs in (False, True))
    assert len(streams) == 2
    same(streams, clip(7))
    for stream in streams:
        stream.reset()
    same(streams, clip(6, seed=3))
    same(streams, [torch.zeros(4, 3, 32, 48, dtype=torch.uint8)] * 4 + clip(4, seed=4))
    assert [recorder.recordings > 0 for recorder in recorders] == [True, True, True]


def test_on_a_device_one_graph_serves_the_whole_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    made = KVCache.__init__

    def on_a_device(cache: KVCache, *args: Any, **options: Any) -> None:
        made(cache, *args, **options)
        cache._on_host = False

    monkeypatch.setattr(KVCache, "__init__", on_a_device)
    plain, replayed, recorders = engines(with_threshold(tiny_config(), 0.2))
    same((stream_of(plain, steps=2), stream_of(replayed, steps=2)), clip(20))
    assert sorted(recorder.recordings for recorder in recorders) == [1, 1, 1]
