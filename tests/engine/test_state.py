"""A stream that is moved elsewhere in the middle goes on as if nothing had happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.engine.streaming import HEIGHT, WIDTH, clip, frames_of, painted, settings_of, stream_of
from tests.engine.tiny import random_weights, tiny_config, tiny_engine

from limner.engine.engine import Engine
from limner.engine.errors import StateError
from limner.engine.state import StreamState
from limner.engine.stream import Stream
from limner.engine.types import Painted


def halves(
    engine: Engine, elsewhere: Engine, at: int, path: Path | None = None, **changes: Any
) -> tuple[list[Painted], list[Painted]]:
    """What a stream paints from chunk `at` on, and what its copy on another engine does."""
    stream, chunks = stream_of(engine, **changes), clip(at + 8)
    for chunk in chunks[:at]:
        stream.push(chunk)
    state = stream.state()
    if path is not None:
        state.save(path)
        state = StreamState.load(path)
    copy = stream_of(elsewhere, prompt="warm", seed=77)
    copy.push(clip(1, seed=99)[0])
    copy.restore(state)
    return painted(stream, chunks[at:]), painted(copy, chunks[at:])


@pytest.mark.parametrize("at", [0, 1, 2, 3, 4, 5, 11])
@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_goes_on_elsewhere_bit_by_bit(tmp_path: Path, steps: int, at: int) -> None:
    engine, elsewhere = tiny_engine(kind="fresh"), tiny_engine(kind="fresh")
    here, there = halves(engine, elsewhere, at, tmp_path / "state.safetensors", steps=steps)
    assert [one.chunk for one in here] == [one.chunk for one in there]
    assert torch.equal(frames_of(here), frames_of(there))


@pytest.mark.parametrize("changes", [{"stream_batch": False}, {"chunk_latents": 1}, {"strength": 0.0}])
def test_goes_on_in_every_mode(engine: Engine, changes: dict[str, Any]) -> None:
    here, there = halves(engine, tiny_engine(), 5, steps=3, **changes)
    assert torch.equal(frames_of(here), frames_of(there))


def test_goes_on_in_bfloat16() -> None:
    config = tiny_config()
    engines = [Engine(config, random_weights(config), dtype=torch.bfloat16) for _ in range(2)]
    here, there = halves(engines[0], engines[1], 6, steps=2)
    assert torch.equal(frames_of(here), frames_of(there))


def test_chunks_with_several_texts_on_their_way_keep_them(engine: Engine) -> None:
    stream, chunks = stream_of(engine, steps=4), clip(10)
    for chunk, prompt in zip(chunks[:5], ("oil", "oil", "neon", "warm", "warm oil zebra"), strict=True):
        stream.update(settings_of(steps=4, prompt=prompt, revision=3))
        stream.push(chunk)
    stream.update(settings_of(steps=4, prompt="neon", revision=4))
    copy = stream_of(tiny_engine())
    copy.restore(stream.state())
    assert copy.unknown_words == ("zebra",) and copy.settings == stream.settings
    here, there = painted(stream, chunks[5:]), painted(copy, chunks[5:])
    assert [one.revision for one in here] == [one.revision for one in there] == [3, 3, 3, 4, 4, 4]
    assert torch.equal(frames_of(here), frames_of(there))


def test_a_state_is_a_copy_and_can_be_used_again(engine: Engine) -> None:
    stream, chunks = stream_of(engine, steps=2), clip(9)
    for chunk in chunks[:4]:
        stream.push(chunk)
    state = stream.state()
    first = frames_of(painted(stream, chunks[4:]))
    for _ in range(2):
        stream.restore(state.to("cpu"))
        assert torch.equal(frames_of(painted(stream, chunks[4:])), first)


def moved(stream: Stream, forgotten: str) -> Stream:
    """A copy that was moved without one of the tensors: zeros there instead."""
    state = stream.state()
    tensors = {n: torch.zeros_like(t) if forgotten in n else t for n, t in state.tensors.items()}
    copy = stream_of(tiny_engine(kind="fresh"))
    copy.restore(StreamState(tensors=tensors, facts=state.facts))
    return copy


@pytest.mark.parametrize(
    "forgotten",
    ["cache/keys", "cache/values", "flights/chunk0/x_TCHW", "encoder/0", "decoder/0", "embedding"],
)
def test_nothing_in_the_state_is_superfluous(forgotten: str) -> None:
    """Defect 4: a cache that stays behind shows. The test above would not pass without each of these."""
    stream, chunks = stream_of(tiny_engine(kind="fresh"), steps=2), clip(9)
    for chunk in chunks[:5]:
        stream.push(chunk)
    broken = moved(stream, forgotten)
    assert not torch.equal(frames_of(painted(stream, chunks[5:])), frames_of(painted(broken, chunks[5:])))


def test_a_wrong_state_is_refused_and_the_stream_goes_on(engine: Engine, tmp_path: Path) -> None:
    chunks = clip(6)
    whole = frames_of(painted(stream_of(engine), chunks))
    stream = stream_of(engine)
    results = [stream.push(chunk) for chunk in chunks[:3]]
    good = stream.state()
    smaller = engine.open_stream(settings_of(), HEIGHT, WIDTH - 16).state()
    half = Engine(tiny_config(), random_weights(tiny_config()), dtype=torch.bfloat16)
    tensors = {name: t for name, t in good.tensors.items() if name != "denoise/window/cache/values"}
    for state, named in (
        (smaller, "width is 32; this stream's is 48"),
        (StreamState(tensors=good.tensors, facts={**good.facts, "model": "wan"}), "model is 'wan'"),
        (stream_of(tiny_engine(sink_threshold=0.5)).state(), "config is"),
        (StreamState(tensors=good.tensors, facts={**good.facts, "format": 7}), "format is 7"),
        (StreamState(tensors=tensors, facts=good.facts), "lacks the tensor values"),
        (stream_of(half).state(), "bfloat16, this stream's"),
        (StreamState(), "format is None"),
    ):
        with pytest.raises(StateError, match=named):
            stream.restore(state)
    results += [stream.push(chunk) for chunk in chunks[3:]]
    assert torch.equal(frames_of(result for result in results if result is not None), whole)
    (path := tmp_path / "junk").write_bytes(b"junk")
    for wrong in (path, tmp_path / "none"):
        with pytest.raises(StateError, match=wrong.name):
            StreamState.load(wrong)
