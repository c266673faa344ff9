"""Whether a file is whole, as far as one can see without loading it. No torch."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from limner.models.errors import StoreError

_MOST_HEADER_BYTES = 100_000_000
# What git keeps in place of a large file that was not fetched.
_LFS_POINTER = b"version "
_MOST_POINTER_BYTES = 1024


def check_file(path: Path, name: str = "") -> None:
    """Raise StoreError when a file is empty, cut off or only stands for another. `name`: to call it by."""
    name = name or str(path)
    if path.stat().st_size == 0:
        raise StoreError(f"{name} is empty; fetch it again")
    _check_pointer(path, name)
    suffix = Path(name).suffix
    if suffix == ".safetensors":
        _check_safetensors(path, name)
    elif suffix in (".pt", ".pth"):
        _check_archive(path, name)
    elif suffix == ".json":
        _read_json(path, name)


def check_shards(index: Path, name: str = "") -> None:
    """Raise StoreError when a file that the index of a sharded model names is not beside it."""
    name = name or str(index)
    table = _read_json(index, name)
    shards = table.get("weight_map", {}) if isinstance(table, dict) else {}
    missing = sorted({shard for shard in shards.values() if not (index.parent / shard).is_file()})
    if missing:
        raise StoreError(f"{name} names {missing[0]}, which is not there; fetch all files of the model")


def _check_pointer(path: Path, name: str) -> None:
    if path.stat().st_size > _MOST_POINTER_BYTES:
        return
    content = path.read_bytes()
    if content.startswith(_LFS_POINTER) and b"\noid sha256:" in content:
        raise StoreError(f"{name} only stands for the file itself; run `git lfs pull` in that folder")


def _check_safetensors(path: Path, name: str) -> None:
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
        if not 2 <= header_bytes <= min(_MOST_HEADER_BYTES, size_bytes - 8):
            raise StoreError(f"{name} is no safetensors file, or is cut off; fetch it again")
        try:
            header = json.loads(file.read(header_bytes))
            ends = [value["data_offsets"][1] for key, value in header.items() if key != "__metadata__"]
        except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
            raise StoreError(f"{name} has a damaged header; fetch it again") from error
    whole_bytes = 8 + header_bytes + max(ends, default=0)
    if size_bytes != whole_bytes:
        raise StoreError(f"{name} has {size_bytes} bytes instead of {whole_bytes}; fetch it again")


def _check_archive(path: Path, name: str) -> None:
    """A zip, as torch writes it since 1.6, or a pickle as before: of that only the beginning can be told."""
    with path.open("rb") as file:
        begin = file.read(4)
    if begin.startswith(b"PK"):
        if not zipfile.is_zipfile(path):
            raise StoreError(f"{name} is cut off; fetch it again")
    elif not begin.startswith(b"\x80"):
        raise StoreError(f"{name} is no file of weights; fetch it again")


def _read_json(path: Path, name: str) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise StoreError(f"{name} is damaged ({error}); fetch it again") from error
