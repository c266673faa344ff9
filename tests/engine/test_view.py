"""What a CUDA graph needs of the cache: a full window is always looked at by the same addresses."""

from __future__ import annotations

import pytest
import torch

from limner.engine.dit.config import DiTConfig
from limner.engine.dit.kv_cache import KVCache

GRID = (2, 3)
CPU = torch.device("cpu")


def config_of(*, window: int = 6, sinks: int = 3, threshold: float = 0.0) -> DiTConfig:
    return DiTConfig(
        latent_channels=4,
        dim=16,
        ffn_dim=16,
        heads=2,
        layers=2,
        text_dim=8,
        window_frames=window,
        sink_frames=sinks,
        sink_threshold=threshold,
    )


def cache_of(config: DiTConfig, rows: int, *, by_index: bool = False) -> KVCache:
    cache = KVCache(config, rows=rows, grid=GRID, device=CPU, dtype=torch.float32)
    cache._on_host = not by_index
    return cache


def push(cache: KVCache, rows: range, frames: int, seed: int) -> torch.Tensor:
    torch.manual_seed(seed)
    cache.begin(rows=rows, frames=frames)
    qkv = torch.randn(2, len(rows), frames * 6, 3 * 16)
    parts = [[part.view(*part.shape[:2], 2, 8) for part in x.chunk(3, -1)] for x in qkv]
    outs = [cache.attend(layer, *three) for layer, three in enumerate(parts)]
    cache.commit()
    return torch.stack(outs)


def addresses(cache: KVCache) -> tuple[int, ...]:
    view = cache._view
    return tuple(t.data_ptr() for t in (view.key_turns, view.query_turns, view.targets))


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_a_full_window_has_one_key_and_one_set_of_addresses(frames: int) -> None:
    cache, seen = cache_of(config_of(), rows=2, by_index=True), set()
    for chunk in range(20):
        push(cache, range(2), frames, chunk)
        assert (cache.steady_phase is None) == (cache.counts[0] < 6)
        if chunk * frames >= 6:
            seen.add((cache.steady_phase, *addresses(cache)))
    assert len(seen) == 1


def test_a_row_that_begins_anew_comes_back_to_the_phase_that_it_left() -> None:
    cache = cache_of(config_of(), rows=2, by_index=True)
    for chunk in range(8):
        push(cache, range(2), 1, chunk)
    full = cache.steady_phase, *addresses(cache)
    cache.reset_row(0)
    push(cache, range(2), 1, 9)
    assert cache.steady_phase is None
    for chunk in range(10, 16):
        push(cache, range(2), 1, chunk)
    assert (cache.steady_phase, *addresses(cache)) == full


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_stored_by_index_is_stored_by_slices(frames: int) -> None:
    by_slices, by_index = (cache_of(config_of(), rows=3, by_index=flag) for flag in (False, True))
    for chunk, rows in enumerate(
        [range(1), range(2), range(3), range(1, 3), range(3), range(2, 3), range(3)] * 2
    ):
        assert torch.equal(push(by_slices, rows, frames, chunk), push(by_index, rows, frames, chunk))
    assert torch.equal(by_slices._keys, by_index._keys) and torch.equal(by_slices._values, by_index._values)


def test_it_says_what_it_allocates() -> None:
    cache = cache_of(config_of(), rows=2)
    tensors = [t for t in vars(cache).values() if isinstance(t, torch.Tensor)]
    tensors += [t for t in vars(cache._view).values() if isinstance(t, torch.Tensor)]
    assert cache.nbytes == sum(t.untyped_storage().nbytes() for t in tensors)
