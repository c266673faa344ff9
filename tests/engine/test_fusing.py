"""Fused functions give the same, for any size by one compilation; a broken compiler stops nobody."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import torch
from tests.engine.streaming import clip, frames_of, painted, settings_of, stream_of
from tests.engine.tiny import random_weights, tiny_config
from torch import Tensor
from torch._dynamo.utils import counters

from limner.engine import engine as engine_module
from limner.engine import fusing as fusing_module
from limner.engine.dit.modulation import gated, modulated, normed
from limner.engine.dit.quantised import _fp8_rows
from limner.engine.dit.rope import rotate
from limner.engine.engine import Engine
from limner.engine.fusing import compile_no_more, fusable, fusing
from limner.engine.wan.vae_blocks import _activate, _add_to_trunk

TRACED = "eager"
"""A backend that runs the traced operations as they are: whether all can be traced shows with any."""


@pytest.fixture(autouse=True)
def unbroken() -> Iterator[None]:
    yield
    assert TRACED not in fusing_module._broken
    fusing_module._broken.clear()
    torch.compiler.set_stance("default")


def activated(frames: int, side: int, layout: torch.memory_format) -> Tensor:
    window = torch.zeros(1, 4, 2 + frames, side, 2 * side).contiguous(memory_format=layout)
    x = torch.linspace(-1, 1, 4 * frames * side * 2 * side).view(1, 4, frames, side, 2 * side)
    x = x.contiguous(memory_format=layout)
    _activate(window[:, :, 2:], x, torch.full((4, 1, 1, 1), 0.7), torch.linspace(-1, 1, 4))
    trunk = window[:, :, 2:].clone()
    _add_to_trunk(trunk, x, torch.linspace(-1, 1, 4))
    return torch.cat([window, trunk], 2)


@pytest.mark.parametrize("frames", [1, 2])
def test_what_is_fused_gives_the_same(frames: int) -> None:
    torch.manual_seed(0)
    x, y = torch.randn(2, 2, 6 * frames, 8)
    shift, scale, gate = torch.randn(3, 2, frames, 1, 8)
    affine = torch.randn(2, 8)
    turned, turns = torch.randn(2, 6, 3, 8), torch.randn(2, 6, 4, 2)

    def all_of_them() -> list[Tensor]:
        return [
            *(
                modulated(x, frames, shift, scale, 1e-6, dtype=dtype).float()
                for dtype in (x.dtype, torch.float16)
            ),
            *(normed(x, weight, bias, 1e-6).float() for weight, bias in (affine, affine.half())),
            gated(x, y, frames, gate),
            rotate(turned, turns),
            *(part.float() for part in _fp8_rows(x.flatten(0, 1))),
            *(activated(frames, side, torch.channels_last_3d) for side in (2, 4)),
            activated(frames, 3, torch.contiguous_format),
        ]

    plain = all_of_them()
    with fusing(TRACED), torch.inference_mode():
        fused = all_of_them()
    for one, other in zip(plain, fused, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-6)


def test_a_stream_paints_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "BACKEND", TRACED)
    config = tiny_config()
    weights, frames = random_weights(config), []
    for compiled in (False, True):
        engine = Engine(config, weights, dtype=torch.float32, compile=compiled)
        frames.append(frames_of(painted(stream_of(engine, steps=2), clip(5))).float())
    assert float((frames[0] - frames[1]).abs().mean()) < 0.02


def test_a_compiler_that_fails_is_left_and_the_log_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    calls = 0

    @fusable
    def doubled(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return x * 2

    with caplog.at_level(logging.WARNING, "limner.engine"), fusing("no such backend"):
        results = [doubled(torch.ones(2)) for _ in range(3)]
    assert all(torch.equal(result, torch.full((2,), 2.0)) for result in results)
    assert calls == 3
    assert ["torch.compile does not work here" in line for line in caplog.messages] == [True]


def test_new_sizes_need_no_new_compilation() -> None:
    compilations = 0

    def counting(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> object:
        nonlocal compilations
        compilations += 1
        return graph.forward

    compiled = torch.compile(rotate.__wrapped__, backend=counting, dynamic=True, fullgraph=True)  # type: ignore[attr-defined]
    for tokens in (6, 12, 18, 24, 36, 48):
        compiled(torch.randn(2, tokens, 3, 8), torch.randn(2, tokens, 4, 2))
    assert compilations == 1


def test_outside_nothing_is_fused() -> None:
    with fusing(None):
        assert torch.equal(rotate(torch.ones(1, 2, 1, 4), torch.zeros(1, 2, 2, 2)), torch.zeros(1, 2, 1, 4))


def graphs_made() -> int:
    return int(counters["stats"]["unique_graphs"])


def test_a_live_stream_waits_for_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Warmed up as a worker does it, no number of steps needs one; and nothing at all would afterwards."""
    monkeypatch.setattr(engine_module, "BACKEND", TRACED)
    config = tiny_config()
    engine = Engine(config, random_weights(config), dtype=torch.float32, compile=True)
    for steps, chunks in ((1, config.dit.window_frames + 3), (2, 3), (3, 4), (4, 5)):
        painted(stream_of(engine, steps=steps), clip(chunks))
    warm = graphs_made()
    assert warm > 0
    for steps in (1, 2, 3, 4):
        painted(stream_of(engine, steps=steps), clip(12))
    assert graphs_made() == warm
    engine.settle()
    new_kind = clip(4, size=(16, 64), frames=8)
    stream = engine.open_stream(settings_of(chunk_latents=2), 16, 64)
    assert frames_of(painted(stream, new_kind)).float().std() > 0
    assert graphs_made() == warm


def test_what_is_compiled_is_used_and_what_is_not_runs_as_it_is() -> None:
    @fusable
    def doubled(x: Tensor) -> Tensor:
        return x * 2

    with fusing(TRACED):
        doubled(torch.ones(3))
        before = graphs_made()
        compile_no_more()
        assert torch.equal(doubled(torch.ones(3)), torch.full((3,), 2.0))
        assert torch.equal(doubled(torch.ones(3, dtype=torch.int64)), torch.full((3,), 2))
    assert graphs_made() == before
