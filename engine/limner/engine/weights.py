"""Weights files: strict in, strict out. A file fits its model exactly or is refused by name and key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from limner.engine.errors import WeightsError

_MOST_NAMED = 3


def load_weights(module: nn.Module, weights: Path | Mapping[str, Tensor]) -> None:
    """Fill a module's parameters and buffers; the module's types and devices stay.

    Raises WeightsError, naming the file and the key, when the file is missing or damaged, when a key is
    missing or surplus, or when a shape is wrong. The module is untouched then.
    """
    source = str(weights) if isinstance(weights, Path) else "the weights"
    tensors = read_weights(weights) if isinstance(weights, Path) else weights
    wanted = module.state_dict()
    _check_keys(source, set(wanted), set(tensors))
    for key, tensor in tensors.items():
        if tensor.shape != wanted[key].shape:
            raise WeightsError(
                f"{source}: {key} has the shape {list(tensor.shape)},"
                f" the model needs {list(wanted[key].shape)}; these are the weights of another model or size"
            )
    module.load_state_dict(dict(tensors))


def read_weights(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file; WeightsError when it cannot be read."""
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such weights file")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path}: damaged or no safetensors file ({error}); fetch it again") from error


def save_weights(module: nn.Module, path: Path, dtype: torch.dtype = torch.bfloat16) -> None:
    """Write a module's parameters and buffers, numbers as `dtype`; never leaves half a file behind."""
    tensors = {
        key: (value.to(dtype) if value.is_floating_point() else value).detach().cpu().contiguous()
        for key, value in module.state_dict().items()
    }
    partial = path.with_suffix(".partial")
    save_file(tensors, partial)
    partial.replace(path)


def _check_keys(source: str, wanted: set[str], given: set[str]) -> None:
    for label, keys in (("lacks", wanted - given), ("has unknown", given - wanted)):
        if keys:
            named = ", ".join(sorted(keys)[:_MOST_NAMED])
            more = f" and {len(keys) - _MOST_NAMED} more" if len(keys) > _MOST_NAMED else ""
            raise WeightsError(f"{source}: {label} {named}{more}; these are the weights of another model")
