"""The parts of a model under one roof, so that one file holds all weights: `vae.*`, `text.*`, `dit.*`."""

from __future__ import annotations

from torch import nn

from limner.engine.config import ModelConfig
from limner.engine.dit.model import CausalDiT
from limner.engine.text import WordText
from limner.engine.vae import PocketVae


class Model(nn.Module):
    """Autoencoder, text encoder and denoiser of one model, with random weights until some are loaded."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.vae = PocketVae(config.vae)
        self.text = WordText(config.text)
        self.dit = CausalDiT(config.dit)
