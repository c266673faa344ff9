"""Loads UMT5's encoder: from files on this machine alone, to the GPU where it fits, else to the CPU."""

from __future__ import annotations

import importlib
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limner.engine.errors import TextError, WeightsError
from limner.engine.wan.keys_text import text_names
from limner.engine.wan.text import IDLE_S, GoOn, Load, Umt5Config, Umt5Text
from limner.engine.wan.text_cache import TextCache, identity_of
from limner.engine.wan.text_model import Umt5
from limner.engine.wan.text_tokens import read_tokenizer, tokenizer_file
from limner.engine.weights import load_weights, read_weights

log = logging.getLogger(__name__)
PART = "text_encoder"
"""Its folder in the folder of a model."""
WORKING_BYTES = 256 << 20
"""On the device beside the weights, while a prompt of full length is encoded."""
SPARE_BYTES = 2 << 30
"""Must stay free on a GPU where an encoder is loaded beside a model that paints."""
Fits = Callable[[int], bool]
"""Whether so many bytes more fit on the device beside all that is there or planned."""
_ATTENTION = "encoder.block.0.layer.0.SelfAttention."
_MLP = "encoder.block.0.layer.1.DenseReluDense."


@dataclass(frozen=True, kw_only=True)
class Umt5Files:
    """Where the text encoder is. Checked when it is loaded."""

    encoder: Path
    """Transformers' folder (or that of a whole diffusers model), or Wan's own `.pth`."""
    tokenizer: Path
    """Folder with a `tokenizer.json` or `spiece.model`, one of these, or the folder of the model."""


def connect_umt5(
    text: Umt5Text,
    files: Umt5Files,
    *,
    device: torch.device,
    fits: Fits = lambda _: True,
    cache_dir: Path | None = None,
    identity: str | None = None,
    idle_s: float = IDLE_S,
) -> None:
    """Let a text encoder load these files when it must, and keep texts in a folder (None: in memory alone).

    `fits` is asked each time before loading. `identity`: of the files, such as their checksum; None looks at
    their names, sizes and times. Takes seconds, to import transformers, if that is not done: once a stream is
    live, it would hold up its threads by some tenths of a second.
    """
    import_encoder()
    config = text.config
    identity = _identity(files) if identity is None else identity
    cache = None
    if cache_dir is not None:
        cache = TextCache(cache_dir, identity, dim=config.dim, length=config.length)
    load = umt5_loader(files, config, device=device, fits=fits)
    text.connect(load, cache=cache, idle_s=idle_s)


def import_encoder() -> None:
    """Import what text encoders are made of. Takes 2 s, beside which other files can be read."""
    _transformers()


def room_on(device: torch.device, spare_bytes: int = SPARE_BYTES) -> Fits:
    """Whether so much is free at that moment, with something left for streams that open meanwhile."""

    def fits(size_bytes: int) -> bool:
        if device.type != "cuda":
            return False
        free_bytes, _ = torch.cuda.mem_get_info(device)
        return size_bytes + spare_bytes <= free_bytes

    return fits


def umt5_loader(
    files: Umt5Files,
    config: Umt5Config,
    *,
    device: torch.device,
    fits: Fits = lambda _: True,
    dtype: torch.dtype | None = None,
) -> Load:
    """What loads the encoder when it is called.

    `dtype` None: on the CPU that of the file, which is then mapped, not read: the system can have its memory
    back at any time; on a GPU bfloat16. Raises WeightsError and TextError.
    """

    def load(go_on: GoOn = lambda: None) -> Umt5:
        tokens = read_tokenizer(files.tokenizer)
        sizes = _checked_sizes(files.encoder, config)
        model = None
        if device.type != "cpu" and fits(sizes.bytes_as(dtype or torch.bfloat16) + WORKING_BYTES):
            model = _loaded_if_it_fits(files.encoder, sizes, device, dtype, go_on)
        if model is None:
            model = load_umt5(files.encoder, sizes, torch.device("cpu"), dtype, go_on)
        return Umt5(model, tokens, length=config.length)

    return load


def _loaded_if_it_fits(
    path: Path, sizes: Umt5Sizes, device: torch.device, dtype: torch.dtype | None, go_on: GoOn
) -> nn.Module | None:
    try:
        return load_umt5(path, sizes, device, dtype, go_on)
    except torch.OutOfMemoryError:
        # Something else has taken the memory meanwhile: a game, say.
        log.warning("no room on %s for the text encoder: the CPU does it", device)
    # Only here is what was loaded in vain no longer held by the error.
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return None


def _checked_sizes(path: Path, config: Umt5Config) -> Umt5Sizes:
    sizes = umt5_sizes(path)
    if sizes.dim != config.dim:
        raise WeightsError(
            f"{path}: gives tokens of width {sizes.dim}, the model takes {config.dim};"
            " this is the text encoder of another model"
        )
    return sizes


def _identity(files: Umt5Files) -> str:
    """Of the text encoder's own files, where they are in the folder of a whole model."""
    inside = files.encoder / PART
    encoder = inside if inside.is_dir() else files.encoder
    try:
        tokenizer = tokenizer_file(files.tokenizer)
    except TextError:
        # It is told when it is missed: what is in the cache needs none.
        tokenizer = files.tokenizer
    return identity_of([encoder, tokenizer])


@dataclass(frozen=True, kw_only=True)
class Umt5Sizes:
    """What a file of weights says of its encoder."""

    words: int
    dim: int
    ffn_dim: int
    layers: int
    heads: int
    head_dim: int
    buckets: int
    """Distances that its attention tells apart."""
    parameters: int
    dtype: torch.dtype

    def bytes_as(self, dtype: torch.dtype) -> int:
        """Of all weights in a type."""
        return self.parameters * dtype.itemsize


def umt5_sizes(path: Path) -> Umt5Sizes:
    """Those of the encoder in a file or folder; WeightsError when it is none. Reads names and shapes only."""
    given = read_weights(path, PART)
    tensors = {ours: given[name] for name, ours in text_names(given.keys()).ours.items()}
    try:
        return _sizes(tensors)
    except (KeyError, ValueError) as error:
        raise WeightsError(f"{path}: no UMT5 encoder (it lacks {error}); fetch the text encoder") from error


def load_umt5(
    path: Path,
    sizes: Umt5Sizes,
    device: torch.device,
    dtype: torch.dtype | None,
    go_on: GoOn = lambda: None,
) -> nn.Module:
    """Transformers' UMT5EncoderModel with the weights of a file or folder."""
    if dtype is None:
        dtype = _cpu_dtype(sizes.dtype) if device.type == "cpu" else torch.bfloat16
    model = _empty_model(sizes).to(dtype)
    load_weights(
        model,
        path,
        part=PART,
        naming=text_names,
        device=device,
        mapped=True,
        on_progress=lambda *_: go_on(),
    )
    return model.eval().requires_grad_(False)


def _sizes(tensors: Mapping[str, Tensor]) -> Umt5Sizes:
    table = tensors["shared.weight"]
    buckets, heads = tensors[f"{_ATTENTION}relative_attention_bias.weight"].shape
    unique = {name: t for name, t in tensors.items() if name != "encoder.embed_tokens.weight"}
    return Umt5Sizes(
        words=table.shape[0],
        dim=table.shape[1],
        ffn_dim=tensors[f"{_MLP}wi_0.weight"].shape[0],
        layers=sum(name.endswith("SelfAttention.q.weight") for name in tensors),
        heads=heads,
        head_dim=tensors[f"{_ATTENTION}q.weight"].shape[0] // heads,
        buckets=buckets,
        parameters=sum(math.prod(t.shape) for t in unique.values()),
        dtype=table.dtype,
    )


def _empty_model(sizes: Umt5Sizes) -> nn.Module:
    transformers = _transformers()
    config = transformers.UMT5Config(
        vocab_size=sizes.words,
        d_model=sizes.dim,
        d_kv=sizes.head_dim,
        d_ff=sizes.ffn_dim,
        num_layers=sizes.layers,
        num_heads=sizes.heads,
        relative_attention_num_buckets=sizes.buckets,
        feed_forward_proj="gated-gelu",
    )
    with torch.device("meta"):
        model: nn.Module = transformers.UMT5EncoderModel(config)
    return model


def _cpu_dtype(dtype: torch.dtype) -> torch.dtype:
    """float16 has not the range that UMT5 needs."""
    return dtype if dtype in (torch.float32, torch.bfloat16) else torch.float32


def _transformers() -> Any:
    """Imported when a text encoder is, not with this module; its names are made when they are asked for."""
    transformers: Any = importlib.import_module("transformers")
    assert transformers.UMT5Config and transformers.UMT5EncoderModel
    return transformers
