"""Weights into modules: strict in, strict out. A file fits its module exactly or is refused by name and key.

A module whose tensors are on the meta device takes each tensor from the mapped file straight to its device
and type: beside the module, never more than one tensor is in memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from limner.engine.errors import WeightsError
from limner.engine.wan.keys_kind import kind_of
from limner.engine.weights_file import Tensors, read_file
from limner.engine.weights_folder import read_folder, read_shards
from limner.engine.weights_names import Naming, Spelling, as_they_are, named

Full = Callable[[str, nn.Module], None]
"""Called with the name of a module and the module, once all its tensors and its children's are there."""
Progress = Callable[[int, int], None]
"""Called with the bytes that are loaded and those there are."""


def load_weights(
    module: nn.Module,
    weights: Path | Mapping[str, Tensor],
    *,
    part: str = "",
    top_key: str | None = None,
    naming: Naming = as_they_are,
    device: torch.device | None = None,
    mapped: bool = False,
    on_full: Full | None = None,
    on_progress: Progress | None = None,
) -> None:
    """Fill a module's parameters and buffers; the module's types stay.

    Tensors that are on the meta device are made on `device` (the CPU when not given); others stay where they
    are. `weights`, `part` and `top_key`: as `read_weights` has them. `naming` reads the names of the file.
    `mapped`: tensors that are on the CPU in the right type anyway stay in the file, which must not change
    then; the system takes their memory back when it needs it. `on_full` may change a module as soon as it is
    full, such as quantise it.

    Raises WeightsError, naming the file and the key, when the file is missing or damaged, when a key is
    missing or surplus, or when a shape or type is wrong. The module is untouched then.
    """
    tensors = checked_tensors(module, weights, part=part, top_key=top_key, naming=naming)
    with torch.no_grad():
        _Filling(tensors, device or torch.device("cpu"), mapped, on_full, on_progress).fill(module, "")


def checked_tensors(
    module: nn.Module,
    weights: Path | Mapping[str, Tensor],
    *,
    part: str = "",
    top_key: str | None = None,
    naming: Naming = as_they_are,
) -> dict[str, Tensor]:
    """All tensors of a module by its own names, checked as `load_weights` checks them; nothing is filled.

    Those of a file are views of it, without memory of their own, for whoever fills parts of the module alone,
    or later: `fill_part`.
    """
    source = str(weights) if isinstance(weights, Path) else "the weights"
    given = read_weights(weights, part, top_key) if isinstance(weights, Path) else weights
    return _fitting(source, module, given, naming(given.keys()))


def fill_part(
    part: nn.Module,
    path: str,
    tensors: Mapping[str, Tensor],
    *,
    device: torch.device,
    on_full: Full | None = None,
) -> None:
    """Fill a part of a module, which is on the meta device, from checked tensors of the whole.

    `path`: of the part in the whole, such as "blocks.3".
    """
    mine = {name: tensor for name, tensor in tensors.items() if name.startswith(f"{path}.")}
    with torch.no_grad():
        _Filling(mine, device, False, on_full, None).fill(part, f"{path}.")


def read_weights(path: Path, part: str = "", top_key: str | None = None) -> Tensors:
    """All tensors of a file, an index of shards or a folder, as views of the mapped files.

    Raises WeightsError when they cannot be read.
    `part`: folder in a folder that is meant where there is one, such as "transformer". `top_key`: under which
    key of a checkpoint they are; None tries the usual ones.
    """
    if path.is_dir():
        return read_folder(path, part, top_key)
    return read_shards(path) if path.name.endswith(".index.json") else read_file(path, top_key)


def save_weights(module: nn.Module, path: Path, dtype: torch.dtype = torch.bfloat16) -> None:
    """Write a module's parameters and buffers, numbers as `dtype`; never leaves half a file behind."""
    tensors = {
        key: (value.to(dtype) if value.is_floating_point() else value).detach().cpu().contiguous()
        for key, value in module.state_dict().items()
    }
    partial = path.with_suffix(".partial")
    save_file(tensors, partial)
    partial.replace(path)


def _fitting(
    source: str, module: nn.Module, given: Mapping[str, Tensor], spelling: Spelling
) -> dict[str, Tensor]:
    """The given tensors by the module's names, all checked; a tensor with two names may come under either."""
    wanted: dict[str, Tensor] = module.state_dict(keep_vars=True)
    names = {ours: name for name, ours in spelling.ours.items()}
    held = {id(wanted[ours]): name for ours, name in names.items() if ours in wanted}
    missing = {spelling.theirs(key) for key, value in wanted.items() if id(value) not in held}
    surplus = {name for name, ours in spelling.ours.items() if ours not in wanted}
    for what, keys in (("lacks", missing), ("has unknown", surplus)):
        if keys:
            hint = _hint(given, spelling)
            raise WeightsError(
                f"{source}: {what} {named(keys)}; these are the weights of another model{hint}"
            )
    if len(names) < len(spelling.ours):
        twice = {name for name, ours in spelling.ours.items() if names[ours] != name}
        raise WeightsError(f"{source}: has {named(twice)} under another name too; fetch another file")
    for ours, name in names.items():
        _check_fit(source, name, given[name], wanted[ours])
    return {ours: given[held[id(value)]] for ours, value in wanted.items()}


def _hint(given: Mapping[str, Tensor], spelling: Spelling) -> str:
    kind = kind_of(given.keys())
    return f" (it looks like {kind}{spelling.label and f' in {spelling.label}'})" if kind else ""


def _check_fit(source: str, name: str, given: Tensor, wanted: Tensor) -> None:
    if given.shape != wanted.shape:
        raise WeightsError(
            f"{source}: {name} has the shape {list(given.shape)}, the model needs {list(wanted.shape)};"
            " these are the weights of another model or size"
        )
    if given.is_floating_point() != wanted.is_floating_point():
        raise WeightsError(
            f"{source}: {name} holds {given.dtype}, the model needs {wanted.dtype}; get unquantised ones"
        )


class _Filling:
    """Fills modules from the leaves up, so that each can be changed as soon as it is full."""

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        device: torch.device,
        mapped: bool,
        on_full: Full | None,
        on_progress: Progress | None,
    ) -> None:
        self._tensors, self._device, self._mapped = tensors, device, mapped
        self._on_full, self._on_progress = on_full, on_progress
        self._done_bytes = 0
        names = Counter(id(tensor) for tensor in tensors.values())
        self._total_bytes = sum({id(tensor): tensor.nbytes for tensor in tensors.values()}.values())
        self._shared: dict[int, Tensor | None] = {given: None for given, count in names.items() if count > 1}
        """By the id of a given tensor that has several names: what the first of them has become. Of others
        nothing may be kept: whoever changes a full module wants its memory back."""
        self._full: set[int] = set()

    def fill(self, module: nn.Module, path: str) -> None:
        if id(module) in self._full:
            return  # A module with two names.
        self._full.add(id(module))
        for name, child in list(module.named_children()):
            self.fill(child, f"{path}{name}.")
        own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        for name, value in own:
            # What is not among the tensors is no part of what is saved.
            if path + name in self._tensors:
                self._take(module, name, value, self._tensors[path + name])
        if self._on_full is not None:
            self._on_full(path.removesuffix("."), module)

    def _take(self, module: nn.Module, name: str, value: Tensor, given: Tensor) -> None:
        filled = self._shared.get(id(given))
        if filled is None:
            filled = self._filled(value, given)
            self._done_bytes += given.nbytes
            if self._on_progress is not None:
                self._on_progress(self._done_bytes, self._total_bytes)
        if filled is not value:
            setattr(module, name, filled)
        if id(given) in self._shared:
            self._shared[id(given)] = filled

    def _filled(self, value: Tensor, given: Tensor) -> Tensor:
        if not value.is_meta:
            return value.copy_(given)
        fits = given.dtype == value.dtype and given.device == self._device
        if self._mapped and fits:
            made = given
        else:
            # Not by empty_like: for tensors without memory, that brings half of torch's compiler in.
            made = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=self._device)
            made.copy_(given)
        is_parameter = isinstance(value, nn.Parameter)
        return nn.Parameter(made, requires_grad=value.requires_grad) if is_parameter else made
