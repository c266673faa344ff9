"""Several streams in one forward: each as if it were alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.engine.streaming import HEIGHT, WIDTH, clip, frames_of, painted, settings_of, stream_of
from tests.engine.tiny import random_weights, tiny_config, tiny_engine
from torch import Tensor

from limner.engine.dit.model import CausalDiT
from limner.engine.dit.together import run, run_together
from limner.engine.engine import Engine
from limner.engine.errors import EngineError, FrameError
from limner.engine.stream import Stream
from limner.engine.types import CleanChunk, Painted

ROOM: list[dict[str, Any]] = [
    {},
    {"prompt": "neon", "seed": 2},
    {"prompt": "neon warm", "steps": 3, "strength": 0.4},
    {"steps": 2, "stream_batch": False},
    {"steps": 4, "seed": 9},
]


def streams_of(engine: Engine, room: list[dict[str, Any]]) -> list[Stream]:
    return [stream_of(engine, **changes) for changes in room]


def clips_of(room: list[dict[str, Any]], chunks: int) -> list[list[Tensor]]:
    return [clip(chunks, seed=i, frames=4 * (c.get("chunk_latents") or 1)) for i, c in enumerate(room)]


@pytest.mark.parametrize("kind", ["static", "fresh"])
@torch.inference_mode()
def test_latents_are_those_of_separate_pushes(kind: str) -> None:
    engine = tiny_engine(kind=kind)
    room = [*ROOM, {"chunk_latents": 2}, {"chunk_latents": 2, "prompt": "", "steps": 2}, {"size": (32, 32)}]
    together, apart, clips = streams_of(engine, room), streams_of(engine, room), clips_of(room, 8)
    for i in range(8):
        noised = [stream.encode(clip[i]) for stream, clip in zip(together, clips, strict=True)]
        works = [stream.denoising(chunk) for stream, chunk in zip(together, noised, strict=True)]
        shared = run_together(together[0].model.dit, works)
        for mine, stream, one in zip(shared, apart, clips, strict=True):
            expected = run(stream.model.dit, stream.denoising(stream.encode(one[i])))
            assert_close(mine, expected)


def assert_close(done: list[CleanChunk], expected: list[CleanChunk]) -> None:
    assert [chunk.index for chunk in done] == [chunk.index for chunk in expected]
    for a, b in zip(done, expected, strict=True):
        torch.testing.assert_close(a.latents_TCHW, b.latents_TCHW, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 1), (torch.bfloat16, 24)])
def test_pictures_are_those_of_separate_pushes(dtype: torch.dtype, most: int) -> None:
    config = tiny_config()
    engine = Engine(config, random_weights(config), dtype=dtype)
    together, clips = streams_of(engine, ROOM), clips_of(ROOM, 8)
    results: list[list[Painted | None]] = [[] for _ in ROOM]
    for i in range(8):
        pushed = engine.push_together([(stream, one[i]) for stream, one in zip(together, clips, strict=True)])
        for mine, result in zip(results, pushed, strict=True):
            mine.append(result)
    for changes, stream, one, mine in zip(ROOM, together, clips, results, strict=True):
        done = frames_of(result for result in (*mine, stream.flush()) if result is not None).float()
        alone = frames_of(painted(stream_of(engine, **changes), one)).float()
        assert (done - alone).abs().max() <= most
        assert (done - alone).abs().mean() <= most / 16


def test_one_forward_serves_all_of_one_shape(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    denoise = CausalDiT.denoise

    def counting(self: CausalDiT, x_RTCHW: Tensor, *others: Any) -> Tensor:
        rows.append(len(x_RTCHW))
        return denoise(self, x_RTCHW, *others)

    monkeypatch.setattr(CausalDiT, "denoise", counting)
    room: list[dict[str, Any]] = [{}, {"prompt": "neon"}, {"seed": 3}, {"chunk_latents": 2}]
    streams, clips = streams_of(engine, room), clips_of(room, 1)
    engine.push_together([(stream, one[0]) for stream, one in zip(streams, clips, strict=True)])
    assert sorted(rows) == [1, 3]


def test_a_bad_push_is_refused_before_anything_happens(engine: Engine) -> None:
    streams, chunks = streams_of(engine, ROOM[:2]), clip(3)
    other = stream_of(tiny_engine())
    with pytest.raises(FrameError, match="frames"):
        engine.push_together([(streams[0], chunks[0]), (streams[1], chunks[0][:3])])
    with pytest.raises(EngineError, match="another engine"):
        engine.push_together([(streams[0], chunks[0]), (other, chunks[0])])
    with pytest.raises(EngineError, match="twice"):
        engine.push_together([(streams[0], chunks[0]), (streams[0], chunks[1])])
    assert engine.push_together([]) == []
    whole = frames_of(painted(stream_of(engine), chunks))
    assert torch.equal(frames_of(painted(streams[0], chunks)), whole)


def test_settings_change_live_together_too(engine: Engine) -> None:
    stream, chunks = stream_of(engine, steps=3), clip(8)
    alone = stream_of(engine, steps=3)
    results, expected = [], []
    for i, chunk in enumerate(chunks):
        wanted = settings_of(steps=1 + i // 3, revision=i)
        stream.update(wanted)
        alone.update(wanted)
        results += engine.push_together([(stream, chunk)])
        expected.append(alone.push(chunk))
    done = [one for one in (*results, stream.flush()) if one is not None]
    wanted_done = [one for one in (*expected, alone.flush()) if one is not None]
    assert torch.equal(frames_of(done), frames_of(wanted_done))
    assert frames_of(done).shape == (32, 3, HEIGHT, WIDTH)
