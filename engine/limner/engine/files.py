"""Which files a model's weights are in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from limner.engine.errors import SettingsError

LARGEST_LORA_WEIGHT = 10.0


@dataclass(frozen=True, kw_only=True)
class ModelFiles:
    """The files of a model whose parts come apart, as Wan's do. Each is a file, or a folder of a hub's model.

    A folder may be the part's own or that of the whole model: of the latter the part's is taken.
    """

    dit: Path
    """The denoiser: Wan's safetensors (one file, or shards with an index), a causal checkpoint (`.pt`), or
    diffusers' `transformer`."""
    vae: Path
    """The autoencoder: Wan's `.pth`, diffusers' `vae`, or TAEHV's `.pth`, as the model's config has it."""
    text_encoder: Path
    """UMT5-XXL's encoder: Wan's `.pth`, or transformers' `text_encoder`."""
    tokenizer: Path
    """Folder of the tokenizer, or its file."""
    dit_key: str | None = None
    """Under which key of the checkpoint the denoiser is, such as "generator_ema"; None tries the usual ones,
    `weights_file.TOP_KEYS`."""


@dataclass(frozen=True, kw_only=True)
class LoraShare:
    """One LoRA and how much of it. LoRAs are the engine's: all its streams have the same."""

    path: Path
    """A safetensors file."""
    weight: float = 1.0
    """1 is as it was trained, 0 nothing, less turns it round. -10..10."""

    def __post_init__(self) -> None:
        # A NaN is in no range.
        if not -LARGEST_LORA_WEIGHT <= self.weight <= LARGEST_LORA_WEIGHT:
            raise SettingsError(
                f"{self.path}: the weight is {self.weight}; it must be a number from"
                f" {-LARGEST_LORA_WEIGHT:g} to {LARGEST_LORA_WEIGHT:g}"
            )
