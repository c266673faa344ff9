"""The names of Wan's denoiser: Wan's own (and ours) and diffusers'. One table, read both ways.

A file may have them behind a prefix, and with the segments that training leaves (`weights_names.WRAPPERS`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from limner.engine.weights_names import Spelling, without_prefix

PREFIXES = ("model.diffusion_model.", "diffusion_model.", "model.", "generator.", "transformer.")
"""What whole files put before each name of a denoiser."""

IDLE = frozenset({"freqs", "rope.freqs", "rope.freqs_cos", "rope.freqs_sin"})
"""Tables of angles that some files hold besides the weights; they are computed here."""

_DIFFUSERS: Mapping[str, str] = {
    "patch_embedding": "patch_embedding",
    "text_embedding.0": "condition_embedder.text_embedder.linear_1",
    "text_embedding.2": "condition_embedder.text_embedder.linear_2",
    "time_embedding.0": "condition_embedder.time_embedder.linear_1",
    "time_embedding.2": "condition_embedder.time_embedder.linear_2",
    "time_projection.1": "condition_embedder.time_proj",
    "head.head": "proj_out",
    "head.modulation": "scale_shift_table",
    "blocks.*.modulation": "blocks.*.scale_shift_table",
    "blocks.*.norm3": "blocks.*.norm2",
    "blocks.*.ffn.0": "blocks.*.ffn.net.0.proj",
    "blocks.*.ffn.2": "blocks.*.ffn.net.2",
    **{
        f"blocks.*.{ours}.{layer}": f"blocks.*.{theirs}.{their_layer}"
        for ours, theirs in {"self_attn": "attn1", "cross_attn": "attn2"}.items()
        for layer, their_layer in {
            "q": "to_q",
            "k": "to_k",
            "v": "to_v",
            "o": "to_out.0",
            "norm_q": "norm_q",
            "norm_k": "norm_k",
        }.items()
    },
}
"""Module (or parameter) in Wan's names → in diffusers'; the star is the number of a block."""
_WAN = {theirs: ours for ours, theirs in _DIFFUSERS.items()}

_BLOCK = re.compile(r"^blocks\.(\d+)\.")
_LEAVES = (".weight", ".bias")


def to_diffusers(name: str) -> str:
    """A tensor or module of the denoiser, by its name in Wan's files → in diffusers'; else unchanged."""
    return _renamed(name, _DIFFUSERS)


def from_diffusers(name: str) -> str:
    """The way back."""
    return _renamed(name, _WAN)


def dit_names(names: Collection[str]) -> Spelling:
    """What a file of a denoiser calls its tensors: Wan's names or diffusers', prefixed or not."""
    short = without_prefix([name for name in names if not _is_idle(name)], PREFIXES)
    if any(".attn1." in name or name.startswith("condition_embedder.") for name in short.values()):
        ours = {name: from_diffusers(rest) for name, rest in short.items()}
        return Spelling(label="diffusers' names", ours=ours, theirs=to_diffusers)
    return Spelling(label="Wan's names", ours=short)


def _is_idle(name: str) -> bool:
    return any(name == idle or name.endswith(f".{idle}") for idle in IDLE)


def _renamed(name: str, table: Mapping[str, str]) -> str:
    leaf = next((leaf for leaf in _LEAVES if name.endswith(leaf)), "")
    module = name.removesuffix(leaf)
    block = _BLOCK.match(module)
    number = block[1] if block else ""
    found = table.get(_BLOCK.sub("blocks.*.", module))
    return name if found is None else found.replace("*", number) + leaf
