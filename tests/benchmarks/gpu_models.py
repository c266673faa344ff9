"""Models of the real shapes with random weights: speed does not depend on their values."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from tests.benchmarks.gpu_rows import Way
from torch import Tensor, nn

from limner.engine.config import DiTConfig, ModelConfig, TextConfig
from limner.engine.engine import Engine
from limner.engine.loading import set_vae_dtype
from limner.engine.model import Model
from limner.engine.wan.vae_config import WanVaeConfig
from limner.models import catalogue
from limner.models.entry import Entry

TEXT_TOKENS = 512
"""Of any prompt: Wan attends to its padding as well."""
WORD = "painted"
PROMPT = " ".join([WORD] * TEXT_TOKENS)


def config_of(way: Way) -> ModelConfig:
    """The catalogue's config, with a text encoder that needs no files and gives as many tokens as UMT5."""
    if way.model == "tiny":
        return _tiny(way)
    name = way.model if way.vae == "wan" else f"{way.model}-{way.vae}"
    engine: dict[str, Any] = entry_of(name).engine
    vae = engine["vae"] | ({"fewer_products": True} if way.fewer_products else {})
    text = {"kind": "words", "dim": engine["text"]["dim"], "length": TEXT_TOKENS, "words": [WORD]}
    return ModelConfig.from_table({**engine, "vae": vae, "text": text, "name": name, "steady": False})


def entry_of(name: str) -> Entry:
    """A model of the catalogue that comes with Limner, whatever this machine's owner has beside it."""
    return catalogue.load(own=Path("/nowhere")).find(name)


def random_model(config: ModelConfig, device: torch.device, dtype: torch.dtype) -> Model:
    """Built without memory, then filled on the device, so that main memory never holds it."""
    with torch.device("meta"):
        model = Model(config).to(dtype)
        set_vae_dtype(model, device, dtype)
    model = model.to_empty(device=device)
    generator = torch.Generator(device).manual_seed(0)
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        _fill(name, tensor, generator)
    return model.eval().requires_grad_(False)


def engine_of(way: Way, device: torch.device, dtype: torch.dtype) -> Engine:
    """An engine that paints in this way."""
    config = config_of(way)
    model = random_model(config, device, dtype)
    model.dit.quantise(way.weights)
    torch.backends.cudnn.benchmark = way.tuned
    return Engine(config, model, device=device, dtype=dtype, compile=way.compiled, attention=way.attention)


@torch.no_grad()
def _fill(name: str, tensor: Tensor, generator: torch.Generator) -> None:
    """Numbers that stay numbers through forty layers: matrices as they are initialised, gains of one."""
    if tensor.ndim > 1 and "gamma" not in name:
        fan_in = tensor[0].numel()
        nn.init.normal_(tensor, std=fan_in**-0.5, generator=generator)
    else:
        tensor.fill_(0.0 if name.endswith("bias") else 1.0)


def _tiny(way: Way) -> ModelConfig:
    """The same parts, as small as they get: for dry runs."""
    big = config_of(dataclasses.replace(way, model="wan-1.3b"))
    dit = dataclasses.replace(
        big.dit, dim=256, ffn_dim=256, heads=2, layers=2, text_dim=32, window_frames=4, sink_frames=1
    )
    assert isinstance(dit, DiTConfig)
    vae = dataclasses.replace(big.vae, base_dim=8) if isinstance(big.vae, WanVaeConfig) else big.vae
    text = TextConfig(dim=32, length=8, words=(WORD,))
    return dataclasses.replace(
        big, name=f"tiny-{way.vae}", dit=dit, vae=vae, text=text, sizes=((64, 48),), default_size=(64, 48)
    )
