"""A window whose frames can be told apart, to see which ones it holds."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from limner.engine.dit.config import DiTConfig
from limner.engine.dit.window import Window

CPU = torch.device("cpu")
EYE = torch.eye(16)


def dit_of(sinks: int = 3, threshold: float = 0.2, layers: int = 2) -> DiTConfig:
    return DiTConfig(
        latent_channels=1,
        dim=16,
        ffn_dim=16,
        heads=2,
        layers=layers,
        text_dim=8,
        patch=1,
        window_frames=sinks + 3,
        sink_frames=sinks,
        sink_threshold=threshold,
    )


class Film:
    """A window of frames of 2 tokens; a frame is a kind (what it is like) and a number (which it is)."""

    def __init__(self, config: DiTConfig, rows: int = 1) -> None:
        self.config = config
        self.window = Window(config, rows=rows, latent_size=(1, 2), device=CPU, dtype=torch.float32)

    def push(self, *frames: tuple[int, float], row: int = 0, kinds: Sequence[int] = ()) -> None:
        """`kinds`: what the frames are like in each layer; empty: as they are in all."""
        x_RTCHW = torch.tensor([number for _, number in frames]).view(1, -1, 1, 1, 1).expand(-1, -1, 1, 1, 2)
        self.window.begin(range(row, row + 1), x_RTCHW, torch.tensor([0.5]))
        for layer in range(self.config.layers):
            like = [EYE[kinds[layer] if kinds else kind] * (1 + 0.01 * number) for kind, number in frames]
            kv = torch.stack(like).repeat_interleave(2, 0).view(1, -1, 2, 8)
            self.window.cache.attend(layer, kv, kv, kv)
        self.window.commit()

    def seen(self, row: int = 0) -> list[float]:
        """Numbers of the frames in the window, sinks first, then oldest first."""
        return [x_CHW.mean().item() for x_TCHW, _ in self.window.inputs(row) for x_CHW in x_TCHW]

    def held(self, layer: int) -> list[float]:
        """The same of the only row, as a layer's keys and values have it."""
        cache = self.window.cache
        keys, values = (
            stored[layer, 0].view(self.config.window_frames, 2, 16)[:, 0].sum(-1)
            for stored in (cache._keys, cache._values)
        )
        assert torch.equal(keys, values)
        return [round((keys[slot].item() - 1) * 100) for slot in cache.order(0)]
