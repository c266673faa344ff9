"""The names of UMT5-XXL's encoder: transformers' (and ours), and those of Wan's own file."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from limner.engine.weights_names import Spelling, without_prefix

_PREFIXES = ("text_encoder.", "model.")

_WAN: Mapping[str, str] = {
    "shared": "token_embedding",
    "encoder.final_layer_norm": "norm",
    **{f"encoder.block.*.layer.0.SelfAttention.{layer}": f"blocks.*.attn.{layer}" for layer in "qkvo"},
    "encoder.block.*.layer.0.SelfAttention.relative_attention_bias": "blocks.*.pos_embedding.embedding",
    "encoder.block.*.layer.0.layer_norm": "blocks.*.norm1",
    "encoder.block.*.layer.1.layer_norm": "blocks.*.norm2",
    "encoder.block.*.layer.1.DenseReluDense.wi_0": "blocks.*.ffn.gate.0",
    "encoder.block.*.layer.1.DenseReluDense.wi_1": "blocks.*.ffn.fc1",
    "encoder.block.*.layer.1.DenseReluDense.wo": "blocks.*.ffn.fc2",
}
"""Module in transformers' names → in Wan's; the star is the number of a block. GELU is on the gate, wi_0."""
_TRANSFORMERS = {theirs: ours for ours, theirs in _WAN.items()}
_SECOND = "encoder.embed_tokens.weight"
"""Another name of the table of tokens."""

_BLOCK = re.compile(r"^(encoder\.block|blocks)\.(\d+)\.")
_LEAF = ".weight"


def to_wan(name: str) -> str:
    """A tensor of the text encoder, by its name in transformers → in Wan's file; else unchanged."""
    return _renamed("shared.weight" if name == _SECOND else name, _WAN)


def from_wan(name: str) -> str:
    """The way back."""
    return _renamed(name, _TRANSFORMERS)


def text_names(names: Collection[str]) -> Spelling:
    """What a file of the text encoder calls its tensors: transformers' names or Wan's."""
    short = without_prefix(names, _PREFIXES)
    if any(name.startswith("token_embedding.") or ".pos_embedding." in name for name in short.values()):
        ours = {name: from_wan(rest) for name, rest in short.items()}
        return Spelling(label="Wan's names", ours=ours, theirs=to_wan)
    return Spelling(label="transformers' names", ours=short)


def _renamed(name: str, table: Mapping[str, str]) -> str:
    if not name.endswith(_LEAF):
        return name
    module = name.removesuffix(_LEAF)
    block = _BLOCK.match(module)
    number = block[2] if block else ""
    found = table.get(_BLOCK.sub(r"\1.*.", module))
    return name if found is None else found.replace("*", number) + _LEAF
