from __future__ import annotations

import itertools

import pytest
import torch

from limner.engine.vae import PocketVae, VaeConfig

SMALL = VaeConfig(latent_channels=6, fine_width=8, coarse_width=10, frame_width=4)


@pytest.fixture
def vae() -> PocketVae:
    """A small autoencoder in which nothing is zero, so that every path counts."""
    torch.manual_seed(0)
    vae = PocketVae(SMALL)
    for parameter in vae.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    vae.gain.uniform_(0.5, 2)
    vae.shift.uniform_(-1, 1)
    return vae.eval()


@torch.inference_mode()
def test_chunks_give_what_the_whole_clip_gives(vae: PocketVae) -> None:
    frames = torch.rand(1, 20, 3, 32, 48) * 2 - 1
    whole = vae.encode(frames)
    state = vae.encoder_state(1, 32, 48)
    parts = []
    for start in range(0, 20, 4):
        rows = frames[0, start : start + 4].reshape(1, 12, 32, 48)
        latents, state = vae.encode_rows(rows, state)
        parts.append(latents)
    assert torch.allclose(torch.cat(parts), whole[0], atol=1e-5)

    decoded = vae.decode(whole)
    state = vae.decoder_state(1, 32, 48)
    pieces = []
    for latent in whole[0]:
        piece, state = vae.decode_rows(latent[None], state)
        pieces.append(piece)
    assert torch.allclose(torch.cat(pieces), decoded[0], atol=1e-5)


def test_streams_agree_with_whole_clips_and_reset_is_exact(vae: PocketVae) -> None:
    frames = torch.randint(0, 256, (12, 3, 32, 48), dtype=torch.uint8)
    encoder, decoder = vae.encoder_stream(32, 48), vae.decoder_stream(32, 48)
    latents = encoder.push(frames)
    first = decoder.push(latents)
    with torch.inference_mode():
        whole = vae.encode(frames[None].float() / 127.5 - 1)[0]
    assert latents.shape == (3, 6, 4, 6)
    assert torch.allclose(latents, whole, atol=1e-5)
    assert first.shape == frames.shape and first.dtype == torch.uint8
    encoder.reset()
    decoder.reset()
    assert torch.equal(encoder.push(frames), latents)
    assert torch.equal(decoder.push(latents), first)


@pytest.mark.parametrize("lengths", [(1,), (2,), (3,), (4,), (4, 1, 3, 2, 2)])
@torch.inference_mode()
def test_chunks_of_every_length_give_what_the_whole_clip_gives(
    vae: PocketVae, lengths: tuple[int, ...]
) -> None:
    frames = torch.randint(0, 256, (48, 3, 16, 24), dtype=torch.uint8)
    encoder, decoder = vae.encoder_stream(16, 24), vae.decoder_stream(16, 24)
    latents, pictures, start = [], [], 0
    for length in itertools.cycle(lengths):
        latents.append(encoder.push(frames[4 * start : 4 * (start + length)]))
        pictures.append(decoder.push(latents[-1]))
        start += length
        if start == 12:
            break
    whole = vae.encode(frames[None].float() / 127.5 - 1)
    torch.testing.assert_close(torch.cat(latents), whole[0], atol=1e-5, rtol=1e-5)
    decoded = vae.decode(torch.cat(latents)[None])[0] * 127.5 + 127.5
    assert (torch.cat(pictures).float() - decoded.clamp(0, 255)).abs().max() <= 0.5 + 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_decoding_neither_brightens_nor_darkens(dtype: torch.dtype) -> None:
    vae = PocketVae(SMALL)
    greys = torch.arange(256.0).repeat(3)
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.zero_()
        # Every grey there is, three times: the linear map's bias is the whole picture.
        vae.decoder.linear.bias = torch.nn.Parameter(greys / 127.5 - 1)
    painted = vae.to(dtype).decoder_stream(8, 8).push(torch.zeros(1, 6, 1, 1)).float()
    assert abs(painted.mean() - greys.mean()) < 0.05
    assert (painted.flatten().sort().values - greys.sort().values).abs().max() <= 1


@torch.inference_mode()
def test_the_past_matters_and_the_future_does_not(vae: PocketVae) -> None:
    frames = torch.rand(1, 12, 3, 16, 16) * 2 - 1
    changed = frames.clone()
    changed[:, 4:8] += 0.5
    before, after = vae.encode(frames), vae.encode(changed)
    assert torch.equal(before[:, 0], after[:, 0])
    assert not torch.allclose(before[:, 2], after[:, 2], atol=1e-4)
    latents = before.clone()
    latents[:, 1] += 1
    plain, moved = vae.decode(before), vae.decode(latents)
    assert torch.equal(plain[:, :4], moved[:, :4])
    assert not torch.allclose(plain[:, 8:], moved[:, 8:], atol=1e-4)


@torch.inference_mode()
def test_batched_clips_do_not_mix(vae: PocketVae) -> None:
    frames = torch.rand(3, 8, 3, 16, 16) * 2 - 1
    together = vae.decode(vae.encode(frames))
    alone = torch.cat([vae.decode(vae.encode(clip[None])) for clip in frames])
    assert torch.allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 3, 32, 48), (4, 3, 32, 40), (4, 1, 32, 48), (0, 3, 32, 48)])
def test_wrong_frames_are_named(vae: PocketVae, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="frames"):
        vae.encoder_stream(32, 48).push(torch.zeros(shape, dtype=torch.uint8))


def test_wrong_sizes_are_named(vae: PocketVae) -> None:
    with pytest.raises(ValueError, match="multiples of 8"):
        vae.encoder_stream(30, 48)
    with pytest.raises(ValueError, match="expected latents"):
        vae.decoder_stream(32, 48).push(torch.zeros(1, 5, 4, 6))
    with pytest.raises(ValueError, match=r"vae\.fine_width"):
        VaeConfig(fine_width=0)
