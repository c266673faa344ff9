"""The autoencoder in float16: what no type can hold is not in it, and who takes it when."""

from __future__ import annotations

import pytest
import torch
from tests.benchmarks.gpu_models import config_of
from tests.benchmarks.gpu_rows import Way
from tests.engine.tiny import tiny_config
from tests.engine.wan.vaes import SMALL, relative_error, wan_vae
from torch import Tensor

from limner.engine.loading import set_vae_dtype
from limner.engine.model import Model
from limner.engine.wan import vae as vae_module
from limner.engine.wan import vae_blocks
from limner.engine.wan.vae import WanVae

FLOAT16_MAX = 65504


def heavy() -> WanVae:
    """One whose residual blocks add up to far more than float16 holds, each of them to nearly as much."""
    vae = wan_vae()
    with torch.no_grad():
        for name, bias in vae.named_parameters():
            if name.endswith("residual.6.bias"):
                bias.fill_(0.75 * FLOAT16_MAX)
                bias[::2] *= -1
    return vae


def both_ways(vae: WanVae) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    frames = torch.rand(1, 3, 5, 24, 40, generator=generator) * 2 - 1
    latents = torch.randn(1, SMALL.latent_channels, 2, 3, 5, generator=generator)
    return vae.encode(frames.to(vae.dtype)), vae.decode(latents.to(vae.dtype))


def test_a_trunk_far_beyond_float16_is_no_matter() -> None:
    wanted, found = both_ways(heavy()), both_ways(heavy().half())
    for one, other in zip(found, wanted, strict=True):
        assert one.isfinite().all()
        assert relative_error(one, other) < 1e-2


def test_it_would_be_without_the_headroom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the test above could not fail."""
    monkeypatch.setattr(vae_blocks, "HEADROOM", 1.0)
    monkeypatch.setattr(vae_module, "HEADROOM", 1.0)
    assert not all(one.isfinite().all() for one in both_ways(heavy().half()))


def test_the_scale_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """A power of two: in float32 not a bit changes."""
    scaled = both_ways(wan_vae())
    monkeypatch.setattr(vae_blocks, "HEADROOM", 1.0)
    monkeypatch.setattr(vae_module, "HEADROOM", 1.0)
    for one, other in zip(scaled, both_ways(wan_vae()), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("vae", ["wan", "taehv"])
def test_what_it_computes_in_where_all_else_is_bfloat16(vae: str) -> None:
    config = config_of(Way(model="tiny", vae="taehv" if vae == "taehv" else "wan"))
    for device, dtype, wanted in (
        ("cuda", torch.bfloat16, torch.float16),
        ("cuda", torch.float32, torch.float32),
        ("cpu", torch.bfloat16, torch.float32),  # Float16 is slower there, many times.
        ("cpu", torch.float32, torch.float32),
    ):
        with torch.device("meta"):
            model = Model(config).to(dtype)
        set_vae_dtype(model, torch.device(device), dtype)
        assert {p.dtype for p in model.get_submodule("vae").parameters()} == {wanted}
        assert {p.dtype for p in model.dit.parameters()} == {dtype}


def test_pockets_stays_as_it_was_made() -> None:
    model = Model(tiny_config()).bfloat16()
    set_vae_dtype(model, torch.device("cuda"), torch.bfloat16)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
