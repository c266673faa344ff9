"""A window whose frames can be told apart, to see which ones it holds."""

from __future__ import annotations

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

    def push(self, *frames: tuple[int, float], row: int = 0) -> None:
        x_RTCHW = torch.tensor([number for _, number in frames]).view(1, -1, 1, 1, 1).expand(-1, -1, 1, 1, 2)
        self.window.begin(range(row, row + 1), x_RTCHW, torch.tensor([0.5]))
        kinds = torch.stack([EYE[kind] * (1 + 0.01 * number) for kind, number in frames])
        kv = kinds.repeat_interleave(2, 0).view(1, -1, 2, 8)
        for layer in range(self.config.layers):
            self.window.cache.attend(layer, kv, kv, kv)
        self.window.commit()

    def seen(self, row: int = 0) -> list[float]:
        """Numbers of the frames in the window, sinks first, then oldest first."""
        return [x_CHW.mean().item() for x_TCHW, _ in self.window.inputs(row) for x_CHW in x_TCHW]
