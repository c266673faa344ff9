"""Sizes of a causal DiT. No torch here, so that a config can be read anywhere."""

from __future__ import annotations

from dataclasses import dataclass

from limner.engine.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class DiTConfig:
    """Sizes of one DiT. Wan 2.1 1.3B: dim 1536, ffn_dim 8960, heads 12, layers 30."""

    latent_channels: int
    """Channels of a latent frame, in and out. At least 1; Wan: 16."""
    dim: int
    """Width of a token. A multiple of ``heads``."""
    ffn_dim: int
    """Width inside the feed-forward network. At least 1."""
    heads: int
    """Attention heads. ``dim / heads`` must be even and at least 6 (rotary pairs over t, h and w)."""
    layers: int
    """Transformer blocks. At least 1."""
    text_dim: int
    """Width of a text token as the text encoder gives it. At least 1; UMT5-XXL: 4096."""
    freq_dim: int = 256
    """Width of the sinusoidal time embedding. Even, at least 2."""
    patch: int = 2
    """Side of a square patch, in latent pixels. At least 1; one latent frame deep always."""
    window_frames: int = 6
    """Latent frames that attention sees: sinks, recent frames and the chunk itself. At least 1."""
    sink_frames: int = 3
    """First latent frames of the stream, which stay in the window. 0..window_frames-1."""
    sink_threshold: float = 0.0
    """A sink gives way to a newer frame that is less like it than this, in each layer by itself: cosine of
    mean keys and values, 0..1. 0: sinks stay for ever. Reference: 0.2."""
    rope_theta: float = 10000.0
    """Base of the rotary frequencies. More than 1."""
    eps: float = 1e-6
    """Added under the roots of the norms. More than 0."""
    wide_residual: bool = False
    """What goes from block to block, norms and modulation are in float32, and only products in the type of
    the weights. As Wan was trained: 40 blocks in bfloat16 are 0.5 % from float32, without it 1.5 %."""

    def __post_init__(self) -> None:
        sizes = ("latent_channels", "dim", "ffn_dim", "heads", "layers", "text_dim", "patch", "window_frames")
        for name in sizes:
            if getattr(self, name) < 1:
                raise ConfigError(f"dit.{name} is {getattr(self, name)}; it must be at least 1")
        if self.dim % self.heads or self.head_dim % 2 or self.head_dim < 6:
            raise ConfigError(
                f"dit.dim is {self.dim} with {self.heads} heads; a head must be an even number of at least 6"
            )
        if self.freq_dim < 2 or self.freq_dim % 2:
            raise ConfigError(f"dit.freq_dim is {self.freq_dim}; it must be even and at least 2")
        if not 0 <= self.sink_frames < self.window_frames:
            raise ConfigError(
                f"dit.sink_frames is {self.sink_frames}; it must be 0 to {self.window_frames - 1},"
                f" less than dit.window_frames"
            )
        if not 0 <= self.sink_threshold <= 1:
            raise ConfigError(f"dit.sink_threshold is {self.sink_threshold}; it must be in 0..1")
        if not self.rope_theta > 1 or not self.eps > 0:
            raise ConfigError(f"dit.rope_theta is {self.rope_theta} and dit.eps {self.eps}; need > 1 and > 0")

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.dim // self.heads

    @property
    def recent_frames(self) -> int:
        """Latent frames of the window that are not sinks: the ring, and the most that one chunk may hold."""
        return self.window_frames - self.sink_frames
