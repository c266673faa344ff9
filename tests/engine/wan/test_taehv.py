from __future__ import annotations

import pytest
import torch
from tests.engine.wan.vaes import enlivened, relative_error
from torch import Tensor
from torch.nn import functional

from limner.engine.config import VAES
from limner.engine.errors import ConfigError, FrameError, StateError
from limner.engine.parts import Vae
from limner.engine.wan.taehv import Taehv, TaehvConfig

SMALL = TaehvConfig(
    latent_channels=4,
    encoder_width=6,
    decoder_widths=(12, 10, 8, 6),
    latents_mean=(0.1, -0.2, 0.3, 0.0),
    latents_std=(1.0, 2.0, 0.5, 1.5),
)


@pytest.fixture(scope="module")
def taehv() -> Taehv:
    return enlivened(Taehv(SMALL))


def film(frames: int) -> Tensor:
    """Bytes [T, 3, 24, 40]."""
    generator = torch.Generator().manual_seed(frames)
    return torch.randint(0, 256, (frames, 3, 24, 40), dtype=torch.uint8, generator=generator)


def clip(frames_TCHW: Tensor) -> Tensor:
    """A film as `encode` takes it."""
    return (frames_TCHW.float() / 127.5 - 1).transpose(0, 1)[None]


def latents(frames: int) -> Tensor:
    """[k, C, 3, 5]."""
    return torch.randn(frames, 4, 3, 5, generator=torch.Generator().manual_seed(frames))


class Published:
    """The published network, written down once more, all frames at once: weights by name, nothing else."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        self._weights = weights

    def encode(self, pictures_TCHW: Tensor) -> Tensor:
        """[4k, 3, H, W] in [0, 1] → [k, C, h, w]."""
        x = functional.relu(self._conv("encoder.0", pictures_TCHW))
        for at, stride in ((2, 2), (7, 2), (12, 1)):
            x = x.reshape(-1, stride * x.shape[1], *x.shape[2:])
            x = functional.conv2d(x, self._weights[f"encoder.{at}.conv.weight"])
            x = functional.conv2d(x, self._weights[f"encoder.{at + 1}.weight"], stride=2, padding=1)
            x = self._memories("encoder", at + 2, x)
        return self._conv("encoder.17", x)

    def decode(self, latents_TCHW: Tensor) -> Tensor:
        """[k, C, h, w] → [4k, 3, H, W], the first three not to be shown."""
        x = functional.relu(self._conv("decoder.1", torch.tanh(latents_TCHW / 3) * 3))
        for at, stride in ((3, 1), (9, 2), (15, 2)):
            x = self._memories("decoder", at, x)
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
            wide = x.shape[1]
            x = functional.conv2d(x, self._weights[f"decoder.{at + 4}.conv.weight"])
            x = x.reshape(x.shape[0] * stride, wide, *x.shape[2:])
            x = functional.conv2d(x, self._weights[f"decoder.{at + 5}.weight"], padding=1)
        return self._conv("decoder.22", functional.relu(x)).clamp(0, 1)

    def _memories(self, side: str, first: int, x: Tensor) -> Tensor:
        for at in range(first, first + 3):
            past = torch.cat([torch.zeros_like(x[:1]), x[:-1]])
            hidden = torch.cat([x, past], 1)
            for layer in (0, 2, 4):
                hidden = self._conv(f"{side}.{at}.conv.{layer}", hidden)
                hidden = functional.relu(hidden) if layer < 4 else hidden
            x = functional.relu(hidden + x)
        return x

    def _conv(self, name: str, x: Tensor) -> Tensor:
        weights = self._weights
        return functional.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)


def test_it_is_an_autoencoder_as_the_engine_wants_it(taehv: Taehv) -> None:
    part: Vae = taehv
    assert part.device == torch.device("cpu")
    assert VAES["taehv"] is TaehvConfig


def test_names_and_shapes_are_the_published_ones() -> None:
    with torch.device("meta"):
        shapes = {name: tuple(t.shape) for name, t in Taehv(TaehvConfig()).state_dict().items()}
    memories = {f"encoder.{i}": 64 for at in (4, 9, 14) for i in range(at, at + 3)}
    memories |= {
        f"decoder.{i}": wide for at, wide in ((3, 256), (9, 128), (15, 64)) for i in range(at, at + 3)
    }
    wanted: dict[str, tuple[int, ...]] = {}
    for name, wide in memories.items():
        for layer in (0, 2, 4):
            wanted[f"{name}.conv.{layer}.weight"] = (wide, wide if layer else 2 * wide, 3, 3)
            wanted[f"{name}.conv.{layer}.bias"] = (wide,)
    for name, wide_out, wide_in in (
        ("encoder.0", 64, 3),
        ("encoder.17", 16, 64),
        ("decoder.1", 256, 16),
        ("decoder.22", 3, 64),
    ):
        wanted |= {f"{name}.weight": (wide_out, wide_in, 3, 3), f"{name}.bias": (wide_out,)}
    wanted |= {f"encoder.{at}.weight": (64, 64, 3, 3) for at in (3, 8, 13)}
    wanted |= {
        f"decoder.{at}.weight": (w, v, 3, 3) for at, w, v in ((8, 128, 256), (14, 64, 128), (20, 64, 64))
    }
    pools = (("encoder.2", 64, 128), ("encoder.7", 64, 128), ("encoder.12", 64, 64))
    grows = (("decoder.7", 256, 256), ("decoder.13", 256, 128), ("decoder.19", 128, 64))
    wanted |= {f"{name}.conv.weight": (w, v, 1, 1) for name, w, v in (*pools, *grows)}
    assert shapes == wanted


@torch.inference_mode()
def test_it_computes_what_the_published_network_does(taehv: Taehv) -> None:
    published = Published(taehv.state_dict())
    x, z = clip(film(12)), latents(3)
    encoded = taehv.encode(x)[0].transpose(0, 1)
    assert relative_error(encoded, published.encode(x[0].transpose(0, 1) / 2 + 0.5)) < 1e-6
    decoded = taehv.decode(z.transpose(0, 1)[None])[0].transpose(0, 1) / 2 + 0.5
    assert relative_error(decoded, published.decode(z)[3:]) < 1e-6
    assert decoded.std() > 0.1


@pytest.mark.parametrize("lengths", [(1, 1, 1, 1, 1, 1), (2, 2, 2), (1, 3, 2), (6,)])
@torch.inference_mode()
def test_chunks_of_every_length_give_the_very_bits_of_the_whole_clip(
    taehv: Taehv, lengths: tuple[int, ...]
) -> None:
    frames, z = film(24), latents(6)
    encoder, decoder = taehv.encoder_stream(24, 40), taehv.decoder_stream(24, 40)
    encoded = torch.cat([encoder.push(part) for part in torch.split(frames, [4 * n for n in lengths])])
    whole = taehv.encode(clip(torch.cat([frames[:1]] * 4 + [frames])))[0].transpose(0, 1)
    assert torch.equal(encoded, whole[1:])
    painted = torch.cat([decoder.push(part) for part in torch.split(z, list(lengths))])
    pixels = taehv.decode(torch.cat([z[:1], z]).transpose(0, 1)[None])[0].transpose(0, 1)[1:]
    assert torch.equal(painted, pixels.mul(127.5).add(127.5).round().clamp(0, 255).to(torch.uint8))


def test_reset_is_exact_and_a_state_goes_on_bit_by_bit(taehv: Taehv) -> None:
    for x, unit, new in ((film(12), 4, taehv.encoder_stream), (latents(3), 1, taehv.decoder_stream)):
        stream, other = new(24, 40), new(24, 40)
        first = stream.push(x[:unit])
        kept = stream.state()
        rest = stream.push(x[unit:])
        other.restore(kept)
        assert torch.equal(other.push(x[unit:]), rest)
        stream.reset()
        assert torch.equal(stream.push(x[:unit]), first)
        with pytest.raises(StateError, match="another model, size or type"):
            new(24, 48).restore(kept)


def test_nothing_of_the_past_is_computed_again(taehv: Taehv) -> None:
    """A decoder's push touches its buffers and the new latent frame, whatever went before."""
    decoder = taehv.decoder_stream(24, 40)
    z = latents(8)
    shapes: list[set[tuple[int, ...]]] = []
    hooks = [
        module.register_forward_hook(lambda _m, inputs, _out: shapes[-1].add(tuple(inputs[0].shape)))
        for module in taehv.decoder.modules()
        if isinstance(module, torch.nn.Conv2d)
    ]
    for i in range(8):
        shapes.append(set())
        decoder.push(z[i : i + 1])
    for hook in hooks:
        hook.remove()
    assert shapes[0] and all(seen == shapes[0] for seen in shapes)


def test_raw_latents_are_wans(taehv: Taehv) -> None:
    raw = Taehv(
        TaehvConfig(
            latent_channels=4,
            encoder_width=6,
            decoder_widths=(12, 10, 8, 6),
            latents_mean=SMALL.latents_mean,
            latents_std=SMALL.latents_std,
            normalise_encoded=False,
        )
    )
    raw.load_state_dict(taehv.state_dict())
    mean, std = torch.tensor([SMALL.latents_mean, SMALL.latents_std])[:, :, None, None, None]
    x = clip(film(8))
    assert relative_error(raw.encode(x), taehv.encode(x) * std + mean) < 1e-6
    z = latents(2).transpose(0, 1)[None]
    assert torch.equal(raw.decode(z), taehv.decode(z))


def test_channels_last_gives_the_same(taehv: Taehv) -> None:
    other = Taehv(SMALL, channels_last=False)
    other.load_state_dict(taehv.state_dict())
    encoded = [v.encoder_stream(24, 40).push(film(8)) for v in (other, taehv)]
    assert relative_error(*encoded) < 1e-6
    painted = [v.decoder_stream(24, 40).push(latents(2)).int() for v in (other, taehv)]
    assert (painted[0] - painted[1]).abs().max() <= 1
    assert taehv.decoder[1].weight.is_contiguous(memory_format=torch.channels_last)  # type: ignore[operator]


def test_bfloat16_is_close_to_float32(taehv: Taehv) -> None:
    low = enlivened(Taehv(SMALL)).bfloat16()
    exact = Taehv(SMALL)
    exact.load_state_dict(low.state_dict())
    x, z = clip(film(8)).bfloat16(), latents(2).transpose(0, 1)[None].bfloat16()
    assert relative_error(low.encode(x), exact.encode(x.float())) < 1e-2
    assert relative_error(low.decode(z), exact.decode(z.float())) < 1e-2


def test_faults_are_named(taehv: Taehv) -> None:
    with pytest.raises(FrameError, match=r"expected \[4k, 3, 24, 40\] frames"):
        taehv.encoder_stream(24, 40).push(torch.zeros(3, 3, 24, 40, dtype=torch.uint8))
    with pytest.raises(FrameError, match=r"expected latents \[k, 4, 3, 5\]"):
        taehv.decoder_stream(24, 40).push(torch.zeros(1, 5, 3, 5))
    with pytest.raises(ConfigError, match="multiples of 8"):
        taehv.decoder_stream(20, 40)
    with pytest.raises(FrameError, match="the clip has 5 frames"):
        taehv.encode(torch.zeros(1, 3, 5, 24, 40))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("latent_channels", 0),
        ("encoder_width", 0),
        ("decoder_widths", (8, 8, 8)),
        ("decoder_widths", (8, 8, 8, 0)),
        ("latents_mean", ()),
        ("latents_std", (-1.0,) * 16),
    ],
)
def test_wrong_sizes_in_a_config_are_named(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"vae\.{key}"):
        TaehvConfig(**{key: value})  # type: ignore[arg-type]
