"""A denoiser of which only a part is in memory: what a rank of a pipeline holds.

All its other parameters are on the meta device: they have names and shapes, so that files are checked as
strictly as ever, and no memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from limner.engine.config import ModelConfig
from limner.engine.dit.config import DiTConfig
from limner.engine.dit.context import TextContext
from limner.engine.dit.finish import Finish
from limner.engine.dit.model import Block, CausalDiT
from limner.engine.errors import EngineError
from limner.engine.files import ModelFiles
from limner.engine.loading import Weights
from limner.engine.model import Model
from limner.engine.pipeline.loras import PathOf, RankLoras, nowhere
from limner.engine.pipeline.texts import EmbeddedText
from limner.engine.wan.keys import dit_names
from limner.engine.wan.lora import shapes_of
from limner.engine.weights import checked_tensors, fill_part

META = torch.device("meta")
Part = TypeVar("Part", bound=nn.Module)
_PREFIX = "dit."
"""Of the denoiser's tensors in a file that has all parts of a model."""


class PartDiT(CausalDiT):
    """A CausalDiT with the head and some of its blocks; the first rank's has the embeddings as well."""

    def __init__(self, config: DiTConfig, dtype: torch.dtype) -> None:
        with META:
            super().__init__(config)
        self.to(dtype)
        self._blanks: dict[int, Block] = {}
        """Without memory, for the blocks that are held."""

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""
        return self.head.modulation.dtype

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.head.modulation.device

    @property
    def held(self) -> list[int]:
        """Blocks that are in memory."""
        blocks = enumerate(self._blocks())
        return [layer for layer, block in blocks if not all(p.is_meta for p in block.parameters())]

    def text_context(self, text_RSE: Tensor, mask_RS: Tensor | None = None) -> TextContext:
        """A text without keys and values: each rank makes those of its own blocks."""
        mask = None if mask_RS is None else mask_RS[:, None, None, :]
        if mask is not None and mask.is_floating_point():
            mask = mask.to(self.dtype)
        return EmbeddedText(
            keys=(),
            values=(),
            mask=mask,
            source=(text_RSE, mask_RS),
            text_RSD=self.text_embedding(text_RSE),
        )

    def cross_keys_values(self, layer: int, text_RSD: Tensor) -> tuple[Tensor, Tensor]:
        """Of one block that is held, [R, S, H, K] each."""
        return self._blocks()[layer].cross_attn.keys_values(text_RSD)

    def put(self, layer: int, block: Block) -> None:
        """Hold a block that is full."""
        # To make a blank one takes milliseconds, in which a rank could compute.
        self._blanks[layer] = self._blocks()[layer]
        self.blocks[layer] = block

    def drop(self, layer: int) -> Block:
        """Hold it no longer; return it. Its memory is free as soon as nobody has it or computes with it."""
        block = self._blocks()[layer]
        self.blocks[layer] = self._blanks.pop(layer)
        return block

    @property
    def block_bytes(self) -> int:
        """Of the weights of one block in the type that it computes in."""
        return sum(parameter.nbytes for parameter in self._blocks()[0].parameters())


class BlockFiles:
    """The weights of a denoiser, block by block, for whoever needs some now and others later.

    All names and shapes are checked when it is made; after that a block is only a copy out of mapped files.
    """

    def __init__(
        self,
        config: ModelConfig,
        weights: Weights,
        *,
        device: torch.device,
        dtype: torch.dtype,
        on_full: Finish | None = None,
        lora_path: PathOf = nowhere,
    ) -> None:
        """`on_full`: what is done to each part as soon as it is there, such as quantise it. `lora_path`:
        where LoRAs are.

        Raises WeightsError, naming file and key, when the weights are not this model's.
        """
        self._config, self._device, self._dtype, self._on_full = config.dit, device, dtype, on_full
        self._attention = config.attention
        self._tensors = _dit_tensors(config, weights)
        with META:
            self.loras = RankLoras(shapes_of(CausalDiT(config.dit)), dtype, lora_path)
        """In all that was made here."""

    def dit(self, *, is_first: bool) -> PartDiT:
        """A denoiser without blocks: its head, and on the first rank what comes before the blocks."""
        dit = PartDiT(self._config, self._dtype)
        for name, part in list(dit.named_children()):
            if name == "head" or (is_first and name != "blocks"):
                self._fill(part, name)
        dit.head.head.pack()
        dit.attention = self._attention
        self.loras.add(_final(dit))
        return dit

    def block(self, layer: int) -> Block:
        """A block, ready to compute. On any thread."""
        block = _blank_block(self._config, self._dtype)
        self._fill(block, f"blocks.{layer}")
        block.pack()
        self.loras.add(_final(block), f"blocks.{layer}")
        return block

    def _fill(self, part: nn.Module, path: str) -> None:
        fill_part(part, path, self._tensors, device=self._device, on_full=self._on_full)


def _blank_block(config: DiTConfig, dtype: torch.dtype) -> Block:
    with META:
        return Block(config).to(dtype)


def _final(part: Part) -> Part:
    return part.eval().requires_grad_(False)


def _dit_tensors(config: ModelConfig, weights: Weights) -> dict[str, Tensor]:
    if isinstance(weights, Model):
        raise EngineError("a pipeline needs the weights as files, not as a model that is in memory")
    if isinstance(weights, ModelFiles):
        with META:
            whole = CausalDiT(config.dit)
        return checked_tensors(
            whole, weights.dit, part="transformer", top_key=weights.dit_key, naming=dit_names
        )
    with META:
        model = Model(config)
    tensors = checked_tensors(model, weights if isinstance(weights, Path) else dict(weights))
    return {
        name.removeprefix(_PREFIX): tensor for name, tensor in tensors.items() if name.startswith(_PREFIX)
    }
