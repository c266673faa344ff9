"""Rotary positions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from limner.engine.dit.rope import axis_pairs, frame_turns, rotate


def test_wans_split_of_the_head() -> None:
    assert axis_pairs(128) == (22, 21, 21)
    assert axis_pairs(64) == (12, 10, 10)


def test_only_distances_count() -> None:
    turns = frame_turns(frames=8, rows=2, columns=3, head_dim=16, theta=10000.0)
    q, k = torch.randn(6, 1, 16), torch.randn(6, 1, 16)

    def scores(at_q: int, at_k: int) -> torch.Tensor:
        return rotate(q, turns[at_q])[:, 0] @ rotate(k, turns[at_k])[:, 0].T

    torch.testing.assert_close(scores(3, 1), scores(7, 5), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(scores(3, 1), scores(3, 2))


def test_the_first_position_does_not_turn_and_lengths_stay() -> None:
    turns = frame_turns(frames=2, rows=2, columns=2, head_dim=12, theta=10000.0)
    x = torch.randn(4, 2, 12)
    torch.testing.assert_close(rotate(x, turns[0])[0], x[0])
    torch.testing.assert_close(rotate(x, turns[1]).norm(dim=-1), x.norm(dim=-1))


def test_first_pair_of_each_axis_turns_by_one_radian_a_step() -> None:
    turns = frame_turns(frames=2, rows=2, columns=2, head_dim=128, theta=10000.0)
    by_t, by_h, by_w = turns[1, 0], turns[0, 2], turns[0, 1]
    radian = torch.tensor(1.0)
    one = torch.stack([radian.cos(), radian.sin()])
    assert torch.allclose(by_t[0], one) and torch.allclose(by_h[22], one) and torch.allclose(by_w[43], one)
    assert torch.allclose(by_t[22:], torch.tensor([1.0, 0.0]).expand(42, 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_form_for_compilers_is_the_same_without_complex_numbers(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds: set[torch.dtype] = set()

    class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no types here
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            kinds.update(t.dtype for t in (out if isinstance(out, list | tuple) else (out,)))
            return out

    turns = frame_turns(frames=2, rows=2, columns=3, head_dim=16, theta=10000.0).flatten(0, 1)
    x = torch.randn(2, 12, 3, 16).to(dtype)
    plain = rotate(x, turns)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    with Watch():  # type: ignore[no-untyped-call]
        by_parts = rotate(x, turns)
    torch.testing.assert_close(by_parts, plain)
    assert kinds and not any(kind.is_complex for kind in kinds)
