"""The names of Wan's autoencoder: Wan's own (and ours) and diffusers'. One table, read both ways."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from limner.engine.weights_names import Spelling, without_prefix

_SIGNS = ("quant_conv.", "encoder.conv_in.", "decoder.conv_in.")
_PREFIXES = ("first_stage_model.", "vae.", "model.")
_LEVELS = 4
"""Sizes of a picture on its way through Wan's autoencoder."""
_RESIDUALS = 3
"""Residual blocks of the decoder at each size; after them, but for the last size, it is scaled up."""

_RESIDUAL = {
    "residual.0": "norm1",
    "residual.2": "conv1",
    "residual.3": "norm2",
    "residual.6": "conv2",
    "shortcut": "conv_shortcut",
}
_LEAVES = (".weight", ".bias", ".gamma")


def _upsamples() -> dict[str, str]:
    """The decoder's blocks, which Wan counts through and diffusers groups by size."""
    step = _RESIDUALS + 1
    places = {
        f"decoder.upsamples.{level * step + number}": f"decoder.up_blocks.{level}.resnets.{number}"
        for level in range(_LEVELS)
        for number in range(_RESIDUALS)
    }
    scalers = {
        f"decoder.upsamples.{level * step + _RESIDUALS}": f"decoder.up_blocks.{level}.upsamplers.0"
        for level in range(_LEVELS - 1)
    }
    return places | scalers


def _table() -> dict[str, str]:
    halves: dict[str, str] = {"conv1": "quant_conv", "conv2": "post_quant_conv"}
    for half in ("encoder", "decoder"):
        halves |= {
            f"{half}.conv1": f"{half}.conv_in",
            f"{half}.head.0": f"{half}.norm_out",
            f"{half}.head.2": f"{half}.conv_out",
            **{
                f"{half}.middle.1.{layer}": f"{half}.mid_block.attentions.0.{layer}"
                for layer in ("norm", "to_qkv", "proj")
            },
            **_layers(f"{half}.middle.0", f"{half}.mid_block.resnets.0"),
            **_layers(f"{half}.middle.2", f"{half}.mid_block.resnets.1"),
        }
    for ours, theirs in _upsamples().items():
        halves |= _scaler(ours, theirs) if "upsamplers" in theirs else _layers(ours, theirs)
    for number in range(_LEVELS * _RESIDUALS - 1):
        place = f"encoder.downsamples.{number}", f"encoder.down_blocks.{number}"
        # Counted through by both; which are scalers, their layers say.
        halves |= _layers(*place) | _scaler(*place)
    return halves


def _layers(ours: str, theirs: str) -> dict[str, str]:
    return {f"{ours}.{layer}": f"{theirs}.{their_layer}" for layer, their_layer in _RESIDUAL.items()}


def _scaler(ours: str, theirs: str) -> dict[str, str]:
    return {f"{ours}.{layer}": f"{theirs}.{layer}" for layer in ("resample.1", "time_conv")}


_DIFFUSERS = _table()
_WAN = {theirs: ours for ours, theirs in _DIFFUSERS.items()}


def to_diffusers(name: str) -> str:
    """A tensor of the autoencoder, by its name in Wan's file → in diffusers'; else unchanged."""
    return _renamed(name, _DIFFUSERS)


def from_diffusers(name: str) -> str:
    """The way back."""
    return _renamed(name, _WAN)


def vae_names(names: Collection[str]) -> Spelling:
    """What a file of the autoencoder calls its tensors: Wan's names or diffusers'."""
    short = without_prefix(names, _PREFIXES)
    if any(
        name.startswith(("quant_conv.", "encoder.conv_in.", "decoder.conv_in.")) for name in short.values()
    ):
        ours = {name: from_diffusers(rest) for name, rest in short.items()}
        return Spelling(label="diffusers' names", ours=ours, theirs=to_diffusers)
    return Spelling(label="Wan's names", ours=short)


def _renamed(name: str, table: Mapping[str, str]) -> str:
    leaf = next((leaf for leaf in _LEAVES if name.endswith(leaf)), "")
    found = table.get(name.removesuffix(leaf))
    return name if found is None else found + leaf
