"""A ring that ends while others still ask it for something: nobody waits for an answer for ever."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from tests.distributed.rings import Nobody, tiny_of, weights_of
from tests.engine.streaming import clip, stream_of
from tests.engine.tiny import random_weights

from limner.engine.pipeline.denoiser import PipelinedDenoiser
from limner.engine.pipeline.engine import PipelineEngine
from limner.engine.pipeline.group import Alone
from limner.engine.pipeline.ring import PipelineError, Ring

LAYERS = 2
PATIENCE_S = 10.0


@pytest.fixture
def engine(tmp_path: Path) -> PipelineEngine:
    """Its ring is for the test to close."""
    config = tiny_of(LAYERS)
    engine = PipelineEngine(config, weights_of(random_weights(config), tmp_path))
    engine.join(Nobody(), Alone(), ((0, LAYERS),))
    return engine


def test_who_comes_after_the_end_is_told_so(engine: PipelineEngine) -> None:
    stream = stream_of(engine)
    stream.push(clip(1)[0])
    denoiser = stream.denoiser
    assert isinstance(denoiser, PipelinedDenoiser)
    engine.ring.close()
    with pytest.raises(PipelineError, match="closed"):
        denoiser.begin(stream.encode(clip(1)[0])).result(PATIENCE_S)
    with pytest.raises(PipelineError, match="closed"):
        engine.ring.do(lambda: None).result(PATIENCE_S)


def test_a_stream_may_begin_anew_while_its_ring_ends(
    engine: PipelineEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = stream_of(engine)
    stream.push(clip(1)[0])
    engine.ring.close()
    monkeypatch.setattr(Ring, "fault", None)  # As it was when the stream looked.
    stream.reset()


def test_who_comes_while_it_ends_is_answered(engine: PipelineEngine) -> None:
    ring, held = engine.ring, threading.Event()
    busy = ring.do(held.wait)
    while not busy.done() and ring._inbox.qsize():
        time.sleep(0.001)
    closing = threading.Thread(target=ring.close)
    closing.start()
    while ring._inbox.qsize() < 2:  # The end is on its way.
        time.sleep(0.001)
    late = ring.do(lambda: "done")
    held.set()
    assert late.result(PATIENCE_S) == "done"
    closing.join()


def test_what_streams_remembered_is_free_before_other_ranks_take_over(engine: PipelineEngine) -> None:
    stream = stream_of(engine)
    stream.push(clip(1)[0])
    (cache,) = engine.stage.caches.values()
    assert cache.layers == list(range(LAYERS))
    engine.ring.close()
    engine.stage.clear()
    assert cache.layers == []


def test_what_a_ring_remembers_for_a_stream_goes_round_as_chunks_do(engine: PipelineEngine) -> None:
    """No more of it on its way at once than ranks have buffers for."""
    stream = stream_of(engine)
    for chunk in clip(3):
        stream.push(chunk)
    engine.ring.close()
    ring = engine.join(Nobody(), Alone(), ((0, LAYERS),))
    ring.do(lambda: setattr(ring, "_out", ring.first.size + 1)).result(PATIENCE_S)  # All ranks are busy.
    denoiser = stream.denoiser
    assert isinstance(denoiser, PipelinedDenoiser)
    begun = denoiser.begin(stream.encode(clip(1)[0]))
    (course,) = ring._courses.values()
    waiting = ring.do(lambda: len(course.past)).result(PATIENCE_S)
    assert waiting == 3 * stream.settings.steps
    ring.do(lambda: setattr(ring, "_out", 0)).result(PATIENCE_S)
    assert len(begun.result(PATIENCE_S)) == 1
    assert not course.past
    ring.close()
