"""The parts of a model under one roof: `vae.*`, `text.*`, `dit.*`. Pocket has all weights in one file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from limner.engine.config import ModelConfig, TextConfig, VaeConfig
from limner.engine.dit.model import CausalDiT
from limner.engine.parts import TextEncoder, Vae
from limner.engine.text import WordText
from limner.engine.vae import PocketVae
from limner.engine.wan.taehv import Taehv, TaehvConfig
from limner.engine.wan.text import Umt5Config, Umt5Text
from limner.engine.wan.vae import WanVae, WanVaeConfig

_VAES: dict[type, Callable[[Any], Vae]] = {VaeConfig: PocketVae, WanVaeConfig: WanVae, TaehvConfig: Taehv}
_TEXTS: dict[type, Callable[[Any], TextEncoder]] = {TextConfig: WordText, Umt5Config: Umt5Text}


def vae_of(config: ModelConfig) -> Vae:
    """A model's autoencoder, with random weights."""
    return _VAES[type(config.vae)](config.vae)


class Model(nn.Module):
    """Autoencoder, text encoder and denoiser of one model, with random weights until some are loaded.

    A text encoder that is no module (it comes and goes) has no part in the model's weights.
    """

    vae: Vae
    text: TextEncoder

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.vae = vae_of(config)
        self.text = _TEXTS[type(config.text)](config.text)
        self.dit = CausalDiT(config.dit)


class PocketModel(Model):
    """A model of pocket's family, for those who need more of its parts than any model has: its training."""

    vae: PocketVae
    text: WordText
