"""How the weights and activations of a convolutional network lie in memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def lay_out(module: nn.Module, *, channels_last: bool) -> None:
    """Let all weights of convolutions lie so, one by one. What lies so already is not copied."""
    formats = (
        {4: torch.channels_last, 5: torch.channels_last_3d}
        if channels_last
        else dict.fromkeys((4, 5), torch.contiguous_format)
    )
    for parameter in module.parameters():
        wanted = formats.get(parameter.ndim)
        if wanted is not None and not parameter.is_contiguous(memory_format=wanted):
            # A stream may begin in inference mode; weights that know nothing of it must stay so.
            with torch.inference_mode(parameter.is_inference()):
                parameter.data = parameter.data.contiguous(memory_format=wanted)


def frames_of_channels(x_NCHW: Tensor, frames: int) -> Tensor:
    """[N, f·C, H, W] → [N·f, C, H, W], channels last: the first C channels are the earliest frame.

    One copy if x lies channels last. Stacking would lose that, and cost another one.
    """
    x_NHWC = x_NCHW.permute(0, 2, 3, 1)
    x_NfHWC = x_NHWC.unflatten(3, (frames, -1)).permute(0, 3, 1, 2, 4)  # type: ignore[no-untyped-call]
    out: Tensor = x_NfHWC.flatten(0, 1).contiguous().permute(0, 3, 1, 2)
    return out


def by_frame(layer: Callable[[Tensor], Tensor], x_BCTHW: Tensor) -> Tensor:
    """Apply a layer to single frames, each of which becomes one or more.

    Only views around it if x lies channels last. The views keep channels at the end on the way, since a
    flattened or split dimension of one frame would else get a stride by which nobody sees how it lies.
    """
    x_NHWC = x_BCTHW.permute(0, 2, 3, 4, 1).flatten(0, 1)
    y_NHWC = layer(x_NHWC.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    y_BTHWC = y_NHWC.unflatten(0, (len(x_BCTHW), -1))  # type: ignore[no-untyped-call]
    out: Tensor = y_BTHWC.permute(0, 4, 1, 2, 3)
    return out
