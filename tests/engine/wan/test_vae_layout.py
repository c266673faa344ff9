"""Everything lies channels last. Convolutions give what they are given, so no step between may lose
that: the next convolution would first have to copy its input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.engine.wan.vaes import SMALL
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from limner.engine.wan.taehv import Taehv, TaehvConfig
from limner.engine.wan.vae import WanVae
from limner.engine.wan.vae_layout import frames_of_channels

CONVOLUTIONS = (torch.ops.aten.convolution, torch.ops.aten.conv2d, torch.ops.aten.conv3d)
FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


class LikeCudnn(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Convolutions answer in the layout of their input; tells which inputs did not lie channels last."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.others: list[tuple[int, ...]] = []
        self.seen = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket not in CONVOLUTIONS:
            return out
        x: Tensor = args[0]
        self.seen += 1
        if not x.is_contiguous(memory_format=FORMATS[x.ndim]):
            self.others.append(tuple(x.shape))
            return out
        return out.contiguous(memory_format=FORMATS[x.ndim])


def wan() -> WanVae:
    return WanVae(SMALL)


def hastened() -> WanVae:
    return WanVae(replace(SMALL, fewer_products=True))


def taehv() -> Taehv:
    return Taehv(TaehvConfig(encoder_width=6, decoder_widths=(12, 10, 8, 6)))


@pytest.mark.parametrize("make", [wan, hastened, taehv])
def test_every_convolution_is_given_its_input_channels_last(make: Callable[[], WanVae | Taehv]) -> None:
    vae = make()
    encoder, decoder = vae.encoder_stream(32, 48), vae.decoder_stream(32, 48)
    frames = torch.zeros(8, 3, 32, 48, dtype=torch.uint8)
    with LikeCudnn() as mode:
        decoder.push(encoder.push(frames))
    convs = sum(isinstance(module, nn.Conv2d | nn.Conv3d) for module in vae.modules())
    assert mode.seen >= 2 * convs
    assert mode.others == []


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_frames_come_out_of_channels_in_their_order(layout: torch.memory_format) -> None:
    x = torch.arange(2.0 * 6 * 4 * 5).view(2, 6, 4, 5).contiguous(memory_format=layout)
    wanted = torch.stack([x[:, :3], x[:, 3:]], 1).flatten(0, 1)
    assert torch.equal(frames_of_channels(x, 2), wanted)
    assert frames_of_channels(x, 2).is_contiguous(memory_format=torch.channels_last)
