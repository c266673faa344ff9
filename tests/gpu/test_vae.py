"""Wan's autoencoders on CUDA: the same pictures, the same bits however they are cut, and no waiting."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from tests.engine.wan.vaes import enlivened, relative_error
from torch import Tensor

from limner.engine.cuda_graphs import cuda_recorder
from limner.engine.wan.taehv import Taehv, TaehvConfig
from limner.engine.wan.vae import WanVae, WanVaeConfig

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
HEIGHT, WIDTH = 128, 192


def make(kind: str) -> WanVae | Taehv:
    if kind == "taehv":
        return enlivened(Taehv(TaehvConfig()))
    return enlivened(WanVae(WanVaeConfig(base_dim=32, fewer_products=kind == "hastened")))


@pytest.fixture(params=["wan", "hastened", "taehv"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def exact() -> Iterator[None]:
    """Float32 as it is, without TF32."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


def film(frames: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (frames, 3, HEIGHT, WIDTH), dtype=torch.uint8, generator=generator)


@pytest.mark.usefixtures("exact")
def test_the_pictures_are_those_of_the_cpu(kind: str) -> None:
    here, there = make(kind), make(kind).cuda()
    wanted, latents = (vae.encoder_stream(HEIGHT, WIDTH).push(film(8)) for vae in (here, there))
    assert relative_error(latents.cpu(), wanted) < 1e-4
    painted = [vae.decoder_stream(HEIGHT, WIDTH).push(wanted.to(vae.device)).cpu() for vae in (here, there)]
    assert (painted[0].int() - painted[1].int()).abs().max() <= 1


def test_everything_lies_channels_last(kind: str) -> None:
    vae = make(kind).cuda()
    vae.encoder_stream(HEIGHT, WIDTH)
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in vae.parameters():
        assert parameter.ndim not in formats or parameter.is_contiguous(memory_format=formats[parameter.ndim])


def test_chunks_of_any_length_give_the_same_bits(kind: str) -> None:
    vae, frames = make(kind).cuda().half(), film(16).cuda()
    encoders = [vae.encoder_stream(HEIGHT, WIDTH) for _ in range(2)]
    latents = [
        torch.cat([encoder.push(part) for part in torch.split(frames, length)])
        for encoder, length in zip(encoders, (4, 16), strict=True)
    ]
    assert torch.equal(*latents)
    decoders = [vae.decoder_stream(HEIGHT, WIDTH) for _ in range(2)]
    pictures = [
        torch.cat([decoder.push(part) for part in torch.split(latents[0], length)])
        for decoder, length in zip(decoders, (1, 4), strict=True)
    ]
    assert torch.equal(*pictures)


def test_nobody_waits_for_the_device(kind: str) -> None:
    vae, frames = make(kind).cuda().half(), film(4).cuda()
    encoder, decoder = vae.encoder_stream(HEIGHT, WIDTH), vae.decoder_stream(HEIGHT, WIDTH)
    decoder.push(encoder.push(frames))
    torch.cuda.set_sync_debug_mode("error")
    try:
        decoder.push(encoder.push(frames))
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_push_can_be_recorded_and_replayed(kind: str) -> None:
    vae, frames = make(kind).cuda().half(), film(12).cuda()
    encoder, plain = (vae.encoder_stream(HEIGHT, WIDTH) for _ in range(2))
    wanted = [plain.push(part) for part in torch.split(frames, 4)]
    encoder.push(frames[:4])
    given = frames[4:8].clone()
    kept = encoder.state()
    graph, result = cuda_recorder(vae.device, "a push").record(lambda: encoder.push(given))
    encoder.restore(kept)
    for chunk in (1, 2):
        given.copy_(frames[4 * chunk : 4 * chunk + 4])
        graph.replay()
        assert relative_error(result.float(), wanted[chunk].float()) < 1e-3


def test_float16_is_within_a_hundredth_of_float32(kind: str) -> None:
    """As an engine computes it here, by cuDNN's kernels."""
    frames = film(8)
    exact, half = make(kind), make(kind).cuda().half()
    wanted = exact.encoder_stream(HEIGHT, WIDTH).push(frames)
    assert relative_error(half.encoder_stream(HEIGHT, WIDTH).push(frames.cuda()).cpu().float(), wanted) < 1e-2
    painted = [
        vae.decoder_stream(HEIGHT, WIDTH).push(wanted.to(vae.device)).cpu().float() / 127.5 - 1
        for vae in (exact, half)
    ]
    assert relative_error(painted[1], painted[0]) < 1e-2
