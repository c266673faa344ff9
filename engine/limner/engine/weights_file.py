"""One weights file, opened by what is in it: safetensors, or a pickle of torch.save with tensors only.

All tensors are views of the mapped file: nothing is read until it is used, and what was read can be dropped
again by the system. Only pickles from before 2020 (not zip archives) have to be read whole.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from limner.engine.errors import WeightsError

Tensors = dict[str, Tensor]

TOP_KEYS = ("generator", "generator_ema", "state_dict", "model")
"""Under which of its keys a checkpoint keeps the weights, in the order in which they are tried."""

_ZIP, _PICKLE, _LFS = b"PK\x03\x04", b"\x80", b"version https://git-lfs"
_LONGEST_HEADER_BYTES = 100_000_000
"""Of a safetensors file, by its format."""
_FORBIDDEN = re.compile(r"GLOBAL ([\w.]+)")
_FETCH = "fetch it again"


def read_file(path: Path, top_key: str | None = None) -> Tensors:
    """All tensors of a file, as views of it, on the CPU.

    `top_key`: under which key of a checkpoint they are; None tries TOP_KEYS. Raises WeightsError when the
    file is not there, damaged, of another kind, or has code in it.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such weights file")
    kind = _kind(path)
    if kind == "safetensors":
        tensors = _read_safetensors(path)
        return tensors if top_key is None else _below(path, tensors, top_key)
    return _plain(path, _read_pickle(path, mapped=kind == "zip"), top_key)


def read_metadata(path: Path) -> Mapping[str, str]:
    """What a safetensors file says of itself; nothing for other files."""
    if not path.is_file() or _kind(path) != "safetensors":
        return {}
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path}: a damaged safetensors file ({error}); {_FETCH}") from error


def _kind(path: Path) -> str:
    """ "safetensors", "zip" or "pickle"; WeightsError for all else."""
    try:
        size_bytes = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from error
    if head.startswith(_ZIP):
        return "zip"
    if head.startswith(_PICKLE) and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "pickle"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= min(size_bytes, _LONGEST_HEADER_BYTES):
        return "safetensors"
    raise WeightsError(f"{path}: {_what_else(head, size_bytes)}")


def _what_else(head: bytes, size_bytes: int) -> str:
    if size_bytes == 0:
        return f"is empty; {_FETCH}"
    if head.startswith(_LFS):
        return "is only a Git LFS pointer to the weights; run `git lfs pull` in its folder, or fetch the file"
    if head.lstrip()[:1] == b"<":
        return "is a web page, not weights; its server may have asked for a login"
    if head[8:9] == b"{":
        return f"is a safetensors file that is cut off ({size_bytes} bytes); {_FETCH}"
    return f"damaged, or neither a safetensors file nor a PyTorch checkpoint; {_FETCH}"


def _read_safetensors(path: Path) -> Tensors:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # it is no mapping
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{path}: a damaged safetensors file ({error}); {_FETCH}") from error


def _read_pickle(path: Path, *, mapped: bool) -> object:
    if path.suffix == ".safetensors":  # torch.load goes by this name.
        raise WeightsError(f"{path}: a PyTorch checkpoint in spite of its name; let the name end in .pt")
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    # What a damaged pickle raises depends on the byte that is wrong.
    except Exception as error:
        forbidden = _FORBIDDEN.search(str(error)) if isinstance(error, pickle.UnpicklingError) else None
        if forbidden:
            raise WeightsError(
                f"{path}: holds more than tensors ({forbidden[1]}), which could run code here, so it was not"
                " opened; get these weights as safetensors, or from their makers"
            ) from error
        # Torch goes on for a page.
        reason = (str(error).splitlines() or [""])[0].partition(". ")[0]
        raise WeightsError(f"{path}: a damaged PyTorch checkpoint ({reason}); {_FETCH}") from error


def _plain(path: Path, content: object, top_key: str | None) -> Tensors:
    """The tensors of a checkpoint, which may lie below a key beside other things."""
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path}: holds a {type(content).__name__}, not named tensors")
    if top_key is None:
        top_key = next((key for key in TOP_KEYS if isinstance(content.get(key), Mapping)), None)
    elif top_key not in content:
        top_keys = [str(key) for key, value in content.items() if isinstance(value, Mapping)]
        has = f"it has {', '.join(top_keys)}" if top_keys else "it has no such keys at all"
        raise WeightsError(f"{path}: has no weights under {top_key}; {has}")
    chosen: Any = content if top_key is None else content[top_key]
    if not isinstance(chosen, Mapping):
        raise WeightsError(f"{path}: {top_key} is a {type(chosen).__name__}, not named tensors")
    for key, value in chosen.items():
        if not isinstance(key, str):
            raise WeightsError(f"{path}: {key!r} is no name of a tensor; this is no plain set of weights")
        if not isinstance(value, Tensor):
            raise WeightsError(
                f"{path}: {key} is a {type(value).__name__}, not a tensor; this is no plain set of weights"
            )
    return dict(chosen)


def _below(path: Path, tensors: Tensors, top_key: str) -> Tensors:
    """The tensors of a safetensors file, which has no levels, whose names begin with the key."""
    start = f"{top_key}."
    chosen = {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}
    if not chosen:
        raise WeightsError(f"{path}: has no weights under {top_key}")
    return chosen
