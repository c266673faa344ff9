"""Which files a model's weights are in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


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
