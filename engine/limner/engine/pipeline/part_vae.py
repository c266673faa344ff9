"""The half of an autoencoder that decodes, for whichever rank does: the other half takes no memory there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from limner.engine.config import ModelConfig
from limner.engine.errors import EngineError
from limner.engine.files import ModelFiles
from limner.engine.loading import Weights, vae_dtype, vae_naming
from limner.engine.model import Model, vae_of
from limner.engine.parts import Vae
from limner.engine.pipeline.packets import Shape
from limner.engine.vae import SPATIAL_FACTOR
from limner.engine.weights import checked_tensors, fill_part

META = torch.device("meta")
_PART = "vae"
_OTHER_HALF = f"{_PART}.encoder."


class VaeFiles:
    """The weights of an autoencoder, of which a rank loads the decoder when it is to decode. For any thread.

    Files are read, and their names and shapes checked, when that is asked for the first time.
    """

    def __init__(
        self, config: ModelConfig, weights: Weights, *, device: torch.device, dtype: torch.dtype
    ) -> None:
        """`dtype`: of the model."""
        self._config, self._weights = config, weights
        self.device, self.dtype = device, vae_dtype(config, device, dtype)
        self.channels = config.vae.latent_channels
        self._remembered: dict[tuple[int, int], dict[str, tuple[Shape, torch.dtype]]] = {}

    def decoder(self) -> Vae:
        """An autoencoder that can only decode. WeightsError, naming file and key, when it is another's."""
        vae = self._blank()
        half = {name: tensor for name, tensor in self._tensors().items() if not name.startswith(_OTHER_HALF)}
        part = cast(nn.Module, vae)
        fill_part(part, _PART, half, device=self.device)
        part.eval().requires_grad_(False)
        vae.prepare()
        return vae

    def drop_decoder(self, vae: Vae) -> None:
        """Free the memory of a whole autoencoder's decoder: it only encodes from now on."""
        cast(Any, vae).decoder = cast(Any, self._blank()).decoder

    def remembered(self, size: tuple[int, int]) -> Mapping[str, tuple[Shape, torch.dtype]]:
        """Shapes and types of what a decoder of latents of this height and width remembers, in its order."""
        if size not in self._remembered:
            height, width = (side * SPATIAL_FACTOR for side in size)
            with META:
                state = self._blank().decoder_stream(height, width).state()
            tensors = state.tensors.items()
            self._remembered[size] = {name: (tuple(one.shape), one.dtype) for name, one in tensors}
        return self._remembered[size]

    def _blank(self) -> Vae:
        with META:
            return cast(Vae, cast(nn.Module, vae_of(self._config)).to(self.dtype))

    def _tensors(self) -> dict[str, Tensor]:
        weights = self._weights
        if isinstance(weights, Model):
            raise EngineError("a pipeline needs the weights as files, not as a model that is in memory")
        if isinstance(weights, ModelFiles):
            naming = vae_naming(self._config)
            blank = cast(nn.Module, self._blank())
            tensors = checked_tensors(blank, weights.vae, part=_PART, naming=naming)
            return {f"{_PART}.{name}": tensor for name, tensor in tensors.items()}
        with META:
            model = Model(self._config)
        return checked_tensors(model, weights if isinstance(weights, Path) else dict(weights))
