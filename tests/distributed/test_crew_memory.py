"""A stream whose ranks were lost goes on with its context over those that are left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from tests.distributed.rings import Nobody, tiny_of, weights_of
from tests.engine.streaming import clip, frames_of, painted, stream_of
from tests.engine.tiny import random_weights

from limner.engine.pipeline.engine import PipelineEngine
from limner.engine.pipeline.group import Alone

LAYERS = 3
WHOLE = ((0, LAYERS),)


@pytest.mark.parametrize("steps", [1, 2])
def test_the_context_is_made_again_so_that_the_look_stays(tmp_path: Path, steps: int) -> None:
    weights = weights_of(random_weights(tiny_of(LAYERS)), tmp_path)
    engine = PipelineEngine(tiny_of(LAYERS), weights, dtype=torch.float32)
    # As long as nothing has left the window, what is made again is what was there, bit by bit.
    before = tiny_of(LAYERS).dit.window_frames - 1
    chunks = clip(before + 3)

    def paint(breaks: Sequence[str]) -> torch.Tensor:
        engine.join(Nobody(), Alone(), WHOLE)
        stream = stream_of(engine, steps=steps, stream_batch=False)
        first = painted(stream, chunks[:before])
        for how in breaks:
            if how == "forgets":
                stream.denoiser._course = None  # type: ignore[attr-defined]  # a stream without a past
            engine.ring.close()
            engine.join(Nobody(), Alone(), WHOLE)
        frames = frames_of([*first, *painted(stream, chunks[before : before + 1])])
        engine.leave()
        return frames

    try:
        whole = paint([])
        assert torch.equal(paint(["lost"]), whole)
        assert torch.equal(paint(["lost", "lost again"]), whole)
        assert not torch.equal(paint(["forgets"]), whole), (
            "the context does not matter: this test shows nothing"
        )
    finally:
        engine.close()
