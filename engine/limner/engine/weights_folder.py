"""A folder of weights, as a hub keeps it: one file, or shards with an index, maybe in a part's own folder."""

from __future__ import annotations

import json
from pathlib import Path

from limner.engine.errors import WeightsError
from limner.engine.weights_file import Tensors, read_file
from limner.engine.weights_names import named

_ENDINGS = ("*.safetensors", "*.pth", "*.pt", "*.bin")
"""Of weights files; of several kinds the first counts, since a folder may hold the same weights twice."""


def read_folder(folder: Path, part: str = "", top_key: str | None = None) -> Tensors:
    """All tensors of a folder, as views of its files.

    `part`: folder inside, such as "transformer" of a diffusers model, that is meant where there is one.
    Raises WeightsError when files are missing or damaged, or when it is not clear which are meant.
    """
    if part and (folder / part).is_dir():
        folder = folder / part
    indices = sorted(folder.glob("*.index.json"))
    if len(indices) > 1:
        raise _unclear(folder, indices)
    if indices:
        return read_shards(indices[0])
    for ending in _ENDINGS:
        files = sorted(file for file in folder.glob(ending) if file.is_file())
        if len(files) > 1:
            raise _unclear(folder, files)
        if files:
            return read_file(files[0], top_key)
    raise WeightsError(f"{folder}: holds no weights (no {', '.join(_ENDINGS)}); choose another")


def read_shards(index: Path) -> Tensors:
    """All tensors of the shards that an index names; WeightsError when it or they are damaged or missing."""
    places = _places(index)
    tensors: Tensors = {}
    for name in sorted(set(places.values())):
        shard = index.parent / name
        if not shard.is_file():
            raise WeightsError(f"{shard}: this shard is missing, {index.name} names it; fetch it")
        held = read_file(shard)
        wanted = {key for key, place in places.items() if place == name}
        for what, keys in (("lacks", wanted - set(held)), ("has unknown", set(held) - wanted)):
            if keys:
                raise WeightsError(f"{shard}: {what} {named(keys)}, by {index.name}; fetch both again")
        tensors |= held
    return tensors


def _places(index: Path) -> dict[str, str]:
    """File name of each key."""
    try:
        places = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{index}: damaged, it names no shards ({error!r}); fetch it again") from error
    if not isinstance(places, dict) or not places:
        raise WeightsError(f"{index}: damaged, its weight_map is empty or no table; fetch it again")
    for key, name in places.items():
        if not isinstance(name, str) or Path(name).name != name:
            raise WeightsError(f"{index}: {key} is said to be in {name!r}, which is no file of this folder")
    return places


def _unclear(folder: Path, files: list[Path]) -> WeightsError:
    names = named({file.name for file in files})
    return WeightsError(f"{folder}: holds several weights ({names}); name the file that is meant")
