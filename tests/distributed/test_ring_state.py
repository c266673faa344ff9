"""What a stream over ranks remembers can go to one process, and back, bit by bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tests.distributed.rings import Ranks, ranks, tiny_of, weights_of
from tests.distributed.test_ring_decode import decode_on
from tests.engine.streaming import clip, frames_of, painted, stream_of
from tests.engine.tiny import random_weights

from limner.engine.engine import Engine
from limner.engine.errors import StateError
from limner.engine.pipeline.stage_cache import StageCache
from limner.engine.state import StreamState

LAYERS = 5
CONFIG = tiny_of(LAYERS, sink_frames=2, sink_threshold=0.2)
TURNS = (((0, 2), (2, 5)), ((0, 0), (0, 3), (3, 5)))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return weights_of(random_weights(CONFIG), tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def alone(weights: Path) -> Engine:
    return Engine(CONFIG, weights, dtype=torch.float32)


@pytest.fixture(scope="module", params=TURNS, ids=["two", "three"])
def made(request: pytest.FixtureRequest, weights: Path) -> Iterator[Ranks]:
    with ranks(CONFIG, weights, request.param) as made:
        yield made


def state_after(engine: Engine, chunks: int, steps: int, path: Path | None = None) -> StreamState:
    stream = stream_of(engine, steps=steps, stream_batch=False)
    for chunk in clip(chunks):
        stream.push(chunk)
    state = stream.state()
    if path is not None:
        state.save(path)
        state = StreamState.load(path)
    return state


def future_of(engine: Engine, state: StreamState, chunks: int, steps: int) -> torch.Tensor:
    stream = stream_of(engine, steps=steps, stream_batch=False)
    stream.restore(state)
    return frames_of(painted(stream, clip(chunks + 8)[chunks:]))


@pytest.mark.parametrize(("steps", "at"), [(1, 0), (1, 11), (3, 2), (3, 9)])
def test_the_state_is_that_of_one_process(
    alone: Engine, made: Ranks, tmp_path: Path, steps: int, at: int
) -> None:
    here = state_after(alone, at, steps, tmp_path / "here.safetensors")
    there = state_after(made.engine, at, steps, tmp_path / "there.safetensors")
    assert there.facts == here.facts
    assert there.tensors.keys() == here.tensors.keys()
    for name, tensor in here.tensors.items():
        assert torch.equal(tensor, there.tensors[name]), name


@pytest.mark.parametrize("steps", [1, 3])
def test_a_stream_goes_from_ranks_to_one_process_and_back(alone: Engine, made: Ranks, steps: int) -> None:
    whole = stream_of(alone, steps=steps, stream_batch=False)
    expected = frames_of(painted(whole, clip(17)))[-8 * 4 :]
    assert torch.equal(future_of(alone, state_after(made.engine, 9, steps), 9, steps), expected)
    assert torch.equal(future_of(made.engine, state_after(alone, 9, steps), 9, steps), expected)
    assert torch.equal(future_of(made.engine, state_after(made.engine, 9, steps), 9, steps), expected)


def test_a_state_is_for_other_blocks_on_other_ranks(alone: Engine, made: Ranks) -> None:
    state, split = state_after(made.engine, 9, 1), made.engine.watch.mover.split
    expected = future_of(alone, state, 9, 1)
    other = tuple((LAYERS if rank else 0, LAYERS) for rank in range(len(split)))
    made.engine.rebalance(other)
    made.wait_for_split(other)
    assert torch.equal(future_of(made.engine, state, 9, 1), expected)
    made.engine.rebalance(split)
    made.wait_for_split(split)


def test_a_decoder_on_another_rank_is_part_of_it(alone: Engine, made: Ranks) -> None:
    expected = future_of(alone, state_after(alone, 9, 1), 9, 1)
    last = len(made.processes)
    decode_on(made, last)
    state = state_after(made.engine, 9, 1)
    for name, tensor in state_after(alone, 9, 1).tensors.items():
        assert torch.equal(tensor, state.tensors[name]), name
    assert torch.equal(future_of(made.engine, state, 9, 1), expected)
    decode_on(made, 0)
    assert torch.equal(future_of(made.engine, state, 9, 1), expected)


def test_a_block_that_is_not_filled_in_shows(
    alone: Engine, made: Ranks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the tests above would see it."""
    if not made.engine.stage.layers:
        pytest.skip("rank 0 holds no blocks")
    state = state_after(alone, 9, 1)
    expected = future_of(alone, state, 9, 1)
    monkeypatch.setattr(StageCache, "fill_in", lambda *_, **__: None)  # On rank 0 alone.
    assert not torch.equal(future_of(made.engine, state, 9, 1), expected)


def test_chunks_on_their_way_in_a_state_come_out_first(alone: Engine, made: Ranks) -> None:
    """A stream batch of one process holds two; ranks give them out with the next one."""
    stream, chunks = stream_of(alone, steps=3), clip(12)
    for chunk in chunks[:9]:
        stream.push(chunk)
    state = stream.state()
    over = stream_of(made.engine, steps=3)
    over.restore(state)
    again = over.state()
    for name, tensor in state.tensors.items():
        assert torch.equal(tensor, again.tensors[name]), name
    # Rows that share a forward differ in the last bit from rows that do not.
    here, there = frames_of(painted(stream, chunks[9:])), frames_of(painted(over, chunks[9:]))
    assert here.shape == there.shape
    assert (here.int() - there.int()).abs().max() <= 2
    over.restore(state)
    flushed = over.flush()
    assert flushed is not None and flushed.chunks == 2


def test_a_state_of_another_model_is_refused_and_the_stream_goes_on(made: Ranks, weights: Path) -> None:
    half = Engine(CONFIG, weights, dtype=torch.bfloat16)
    stream, chunks = stream_of(made.engine), clip(6)
    whole = frames_of(painted(stream_of(made.engine), chunks))
    results = [stream.push(chunk) for chunk in chunks[:3]]
    with pytest.raises(StateError, match="bfloat16"):
        stream.restore(stream_of(half).state())
    results += [stream.push(chunk) for chunk in chunks[3:]]
    assert torch.equal(frames_of(one for one in results if one is not None), whole)
