"""Configs for the tests of the memory plan: tiny, odd, and Wan's own."""

from __future__ import annotations

from typing import Any

TINY: dict[str, Any] = {
    "latent_channels": 4,
    "dim": 24,
    "ffn_dim": 40,
    "heads": 2,
    "layers": 2,
    "text_dim": 10,
    "freq_dim": 8,
}
ODD: dict[str, Any] = {
    "latent_channels": 5,
    "dim": 42,
    "ffn_dim": 31,
    "heads": 3,
    "layers": 3,
    "text_dim": 7,
    "freq_dim": 6,
    "patch": 1,
    "window_frames": 5,
    "sink_frames": 2,
}
WAN: dict[str, Any] = {"latent_channels": 16, "text_dim": 4096, "wide_residual": True}
WAN_1_3B: dict[str, Any] = WAN | {"dim": 1536, "ffn_dim": 8960, "heads": 12, "layers": 30}
WAN_14B: dict[str, Any] = WAN | {"dim": 5120, "ffn_dim": 13824, "heads": 40, "layers": 40}
