"""Whether two machines have the same weights, without reading all of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from limner.models.entry import PartName
from limner.worker.model_source import ModelSource

SAMPLES, SAMPLE_BYTES = 64, 4096
"""Places of a file that are looked at, and how much of each: weights that differ do so nearly everywhere."""
_WEIGHTS = (".safetensors", ".pt", ".pth", ".bin")
_FOLDERS: dict[PartName, str] = {"weights": "", "dit": "transformer", "vae": "vae"}
"""What ranks need of a model, and where in a folder of diffusers' it is."""


def digest_of(source: ModelSource) -> str:
    """A number for the weights of denoiser and autoencoder, the same wherever the files are.

    64 samples of each file, so it takes milliseconds. Raises OSError.
    """
    found = hashlib.sha256()
    for part, folder in _FOLDERS.items():
        if (path := source.paths.get(part)) is not None:
            for file in _files(path, folder):
                _add(found, file)
    return found.hexdigest()[:32]


def _files(path: Path, folder: str) -> list[Path]:
    if path.name.endswith(".index.json"):
        path = path.parent
    if not path.is_dir():
        return [path]
    within = path / folder
    return sorted(file for file in (within if within.is_dir() else path).iterdir() if file.suffix in _WEIGHTS)


def _add(found: hashlib._Hash, path: Path) -> None:
    size_bytes = path.stat().st_size
    found.update(size_bytes.to_bytes(8, "little"))
    with path.open("rb") as file:
        for number in range(SAMPLES):
            file.seek(number * max(0, size_bytes - SAMPLE_BYTES) // (SAMPLES - 1))
            found.update(file.read(SAMPLE_BYTES))
