from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import torch
from tests.engine.wan.vaes import SMALL, enlivened, relative_error, wan_vae
from torch import Tensor
from torch._dynamo.testing import CompileCounter

from limner.engine.errors import StateError
from limner.engine.parts import Vae
from limner.engine.state import StreamState
from limner.engine.wan.vae import WanVae, WanVaeConfig
from limner.engine.wan.vae_plan import decoder_convs, encoder_convs


@pytest.fixture(scope="module")
def vae() -> WanVae:
    return wan_vae()


def film(frames: int, height: int = 24, width: int = 40) -> Tensor:
    """Bytes [T, 3, H, W]."""
    generator = torch.Generator().manual_seed(frames)
    return torch.randint(0, 256, (frames, 3, height, width), dtype=torch.uint8, generator=generator)


def clip(frames_TCHW: Tensor) -> Tensor:
    """A film as `encode` takes it."""
    return (frames_TCHW.float() / 127.5 - 1).transpose(0, 1)[None]


def latents(frames: int, height: int = 3, width: int = 5) -> Tensor:
    """Normalised latents [k, C, h, w]."""
    generator = torch.Generator().manual_seed(frames)
    return torch.randn(frames, SMALL.latent_channels, height, width, generator=generator)


def in_parts(x: Tensor, lengths: tuple[int, ...], unit: int) -> Iterator[Tensor]:
    """Rows of x in parts of so many units, over and over, until all are given."""
    start = 0
    for length in itertools.cycle(lengths):
        yield x[start : start + length * unit]
        start += length * unit
        if start >= len(x):
            return


def test_it_is_an_autoencoder_as_the_engine_wants_it(vae: WanVae) -> None:
    part: Vae = vae
    assert part.device == torch.device("cpu")


def test_names_and_shapes_are_those_of_wans_weights_file() -> None:
    with torch.device("meta"):
        vae = WanVae(WanVaeConfig())
    shapes = {name: tuple(t.shape) for name, t in vae.state_dict().items()}
    residual = {"residual.0.gamma", "residual.2.weight", "residual.2.bias", "residual.3.gamma"}
    residual |= {"residual.6.weight", "residual.6.bias"}
    shortcut = {"shortcut.weight", "shortcut.bias"}
    flat, in_time = {"resample.1.weight", "resample.1.bias"}, {"time_conv.weight", "time_conv.bias"}
    attention = {"norm.gamma", "to_qkv.weight", "to_qkv.bias", "proj.weight", "proj.bias"}
    conv = {"weight", "bias"}
    head = {"0.gamma", "2.weight", "2.bias"}
    blocks = {"conv1": conv, "conv2": conv}
    for side in ("encoder", "decoder"):
        blocks |= {f"{side}.conv1": conv, f"{side}.head": head, f"{side}.middle.1": attention}
        blocks |= {f"{side}.middle.{i}": residual for i in (0, 2)}
    blocks |= {f"encoder.downsamples.{i}": residual for i in (0, 1, 3, 4, 6, 7, 9, 10)}
    blocks |= {f"decoder.upsamples.{i}": residual for i in (0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14)}
    for block in ("encoder.downsamples.3", "encoder.downsamples.6", "decoder.upsamples.4"):
        blocks[block] = residual | shortcut
    blocks |= {"encoder.downsamples.2": flat, "decoder.upsamples.11": flat}
    for block in (
        "encoder.downsamples.5",
        "encoder.downsamples.8",
        "decoder.upsamples.3",
        "decoder.upsamples.7",
    ):
        blocks[block] = flat | in_time
    assert set(shapes) == {f"{block}.{key}" for block, keys in blocks.items() for key in keys}
    assert len(shapes) == 194
    assert shapes["encoder.conv1.weight"] == (96, 3, 3, 3, 3)
    assert shapes["encoder.downsamples.5.time_conv.weight"] == (192, 192, 3, 1, 1)
    assert shapes["encoder.head.0.gamma"] == (384, 1, 1, 1)
    assert shapes["encoder.head.2.weight"] == (32, 384, 3, 3, 3)
    assert shapes["conv1.weight"] == (32, 32, 1, 1, 1)
    assert shapes["decoder.middle.1.norm.gamma"] == (384, 1, 1)
    assert shapes["decoder.upsamples.3.time_conv.weight"] == (768, 384, 3, 1, 1)
    assert shapes["decoder.upsamples.3.resample.1.weight"] == (192, 384, 3, 3)
    assert shapes["decoder.upsamples.4.shortcut.weight"] == (384, 192, 1, 1, 1)
    assert shapes["decoder.head.2.weight"] == (3, 96, 3, 3, 3)


@pytest.mark.parametrize(
    "config",
    [WanVaeConfig(), SMALL, WanVaeConfig(base_dim=6, dim_mult=(1, 3, 2, 5), res_blocks=1)],
)
def test_the_plan_is_of_the_convolutions_that_there_are(config: WanVaeConfig) -> None:
    with torch.device("meta"):
        vae = WanVae(config)
    convs = (*encoder_convs(config), *decoder_convs(config))
    planned = {conv.name: (conv.channels_out, conv.channels_in, *conv.kernel) for conv in convs}
    built = {
        name: tuple(m.weight.shape) for name, m in vae.named_modules() if isinstance(m, torch.nn.Conv3d)
    } | {
        name: (*m.weight.shape[:2], 1, *m.weight.shape[2:])
        for name, m in vae.named_modules()
        if isinstance(m, torch.nn.Conv2d)
    }
    assert planned == built
    assert sum(conv.parameters for conv in convs) == sum(
        p.numel() for name, p in vae.named_parameters() if not name.endswith("gamma")
    )


@pytest.mark.parametrize("lengths", [(1,), (2,), (3,), (4,), (1, 3, 2)])
def test_chunks_of_every_length_give_the_very_bits_of_the_whole_clip(
    vae: WanVae, lengths: tuple[int, ...]
) -> None:
    frames = film(24)
    stream = vae.encoder_stream(24, 40)
    pieces = [stream.push(part) for part in in_parts(frames, lengths, 4)]
    whole = vae.encode(clip(torch.cat([frames[:1], frames])))[0].transpose(0, 1)
    assert torch.equal(torch.cat(pieces), whole[1:])

    z = latents(6)
    decoder = vae.decoder_stream(24, 40)
    painted = torch.cat([decoder.push(part) for part in in_parts(z, lengths, 1)])
    pixels = vae.decode(torch.cat([z[:1], z]).transpose(0, 1)[None])[0].transpose(0, 1)[1:]
    assert torch.equal(painted, pixels.mul(127.5).add(127.5).round().clamp(0, 255).to(torch.uint8))


@torch.inference_mode()
def test_a_clip_may_go_in_as_one_frame_and_then_eight_at_once(vae: WanVae) -> None:
    x, z = clip(film(17)), latents(5).transpose(0, 1)[None]
    past = vae.encoder_past(24, 40)
    parts = [vae.encode_unit(x[:, :, :1], past, first=True)]
    parts += [vae.encode_unit(part, past) for part in torch.split(x[:, :, 1:], 8, 2)]
    assert relative_error(torch.cat(parts, 2), vae.encode(x)) < 1e-6
    past = vae.decoder_past(24, 40)
    parts = [vae.decode_unit(z[:, :, :1], past, first=True)]
    parts += [vae.decode_unit(part, past) for part in torch.split(z[:, :, 1:], 2, 2)]
    assert relative_error(torch.cat(parts, 2), vae.decode(z)) < 1e-6


def test_the_past_matters_and_the_future_does_not(vae: WanVae) -> None:
    x = clip(film(13))
    changed = x.clone()
    changed[:, :, 5:9] *= -1
    before, after = vae.encode(x), vae.encode(changed)
    assert torch.equal(before[:, :, :2], after[:, :, :2])
    assert relative_error(after[:, :, 3], before[:, :, 3]) > 1e-3
    z = latents(4).transpose(0, 1)[None]
    moved = z.clone()
    moved[:, :, 2] += 1
    plain, other = vae.decode(z), vae.decode(moved)
    assert torch.equal(plain[:, :, :5], other[:, :, :5])
    assert relative_error(other[:, :, 9:], plain[:, :, 9:]) > 1e-3


def test_reset_is_exact_and_a_state_goes_on_bit_by_bit(vae: WanVae) -> None:
    frames, z = film(12), latents(3)
    for stream, x, unit in ((vae.encoder_stream(24, 40), frames, 4), (vae.decoder_stream(24, 40), z, 1)):
        first = stream.push(x[:unit])
        kept = stream.state()
        rest = stream.push(x[unit:])
        stream.reset()
        assert torch.equal(stream.push(x[:unit]), first)
        stream.push(x[:unit])
        stream.restore(kept)
        assert torch.equal(stream.push(x[unit:]), rest)
        other = vae.encoder_stream(24, 40) if unit == 4 else vae.decoder_stream(24, 40)
        other.restore(kept)
        assert torch.equal(other.push(x[unit:]), rest)
        other.restore(vae.encoder_stream(24, 40).state() if unit == 4 else vae.decoder_stream(24, 40).state())
        assert torch.equal(other.push(x[:unit]), first)


def test_a_state_of_another_size_or_none_is_refused(vae: WanVae) -> None:
    with pytest.raises(StateError, match="another model, size or type"):
        vae.encoder_stream(24, 40).restore(vae.encoder_stream(24, 48).state())
    with pytest.raises(StateError, match="primed"):
        vae.decoder_stream(24, 40).restore(StreamState())


@torch.inference_mode()
def test_every_push_after_the_first_runs_one_graph_on_the_same_buffers() -> None:
    vae, counter = wan_vae(), CompileCounter()
    vae.encoder.compile(backend=counter, fullgraph=True, dynamic=False)
    past = vae.encoder_past(16, 16)
    where = [buffer.data_ptr() for buffer in past]
    for frames in torch.split(clip(film(16, 16, 16)), 4, 2):
        vae.encode_unit(frames, past)
    assert counter.frame_count == 1
    vae.decoder.compile(backend=counter, fullgraph=True, dynamic=False)
    painted = vae.decoder_past(16, 16)
    where += [buffer.data_ptr() for buffer in painted]
    for latent in torch.split(latents(4, 2, 2).transpose(0, 1)[None], 1, 2):
        vae.decode_unit(latent, painted)
    assert counter.frame_count == 2
    assert [buffer.data_ptr() for buffer in (*past, *painted)] == where


@torch.inference_mode()
def test_weights_stay_weights_when_a_stream_begins() -> None:
    with torch.inference_mode(False):
        fresh = WanVae(SMALL)
    fresh.encoder_stream(24, 40)
    assert not any(parameter.is_inference() for parameter in fresh.parameters())


def test_channels_last_gives_the_same_picture(vae: WanVae) -> None:
    other = WanVae(SMALL, channels_last=False)
    other.load_state_dict(vae.state_dict())
    encoded, wanted = (v.encoder_stream(24, 40).push(film(8)) for v in (other, vae))
    assert vae.encoder.conv1.weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert other.encoder.conv1.weight.is_contiguous()
    assert relative_error(encoded, wanted) < 1e-6
    painted, wanted = (v.decoder_stream(24, 40).push(latents(2)) for v in (other, vae))
    assert (painted.int() - wanted.int()).abs().max() <= 1


def test_without_normalisation_the_encoder_gives_raw_latents_and_the_decoder_does_as_ever(
    vae: WanVae,
) -> None:
    raw = WanVae(
        WanVaeConfig(
            latent_channels=4,
            base_dim=8,
            latents_mean=SMALL.latents_mean,
            latents_std=SMALL.latents_std,
            normalise_encoded=False,
        )
    )
    raw.load_state_dict(vae.state_dict())
    x = clip(film(5))
    mean, std = torch.tensor([SMALL.latents_mean, SMALL.latents_std])[:, :, None, None, None]
    assert relative_error((raw.encode(x) - mean) / std, vae.encode(x)) < 1e-6
    z = latents(2).transpose(0, 1)[None]
    assert torch.equal(raw.decode(z), vae.decode(z))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_decoding_neither_brightens_nor_darkens(dtype: torch.dtype) -> None:
    vae = WanVae(SMALL)
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.zero_()
        vae.decoder.head[2].bias.fill_(200 / 127.5 - 1)  # type: ignore[operator]
    painted = vae.to(dtype).decoder_stream(8, 8).push(torch.zeros(1, 4, 1, 1))
    assert (painted.int() - 200).abs().max() <= 1


def test_enlivened_weights_reach_the_picture(vae: WanVae) -> None:
    """The other tests compare pictures: they must not be of one tone."""
    assert enlivened(vae).decode(latents(2).transpose(0, 1)[None]).std() > 0.1
