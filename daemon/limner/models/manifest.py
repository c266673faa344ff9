"""What was fetched for a model: manifest.json in its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from limner.models.entry import PartName
from limner.models.errors import StoreError

FILE = "manifest.json"
VERSION = 1


class ManifestFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file, as it was when it was checked."""

    part: PartName
    path: str
    """In the repository; on disk it lies at PART/PATH in the model's folder."""
    repository: str
    commit: str
    """Empty: came from a folder."""
    size_bytes: Annotated[int, Meta(ge=0)]
    sha256: str

    @property
    def place(self) -> Path:
        """Where it lies in the model's folder."""
        return Path(self.part) / self.path


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """All files of a model that were fetched and checked."""

    model: str
    files: list[ManifestFile] = []
    is_complete: bool = False
    """False: a pull is not finished, or a file was found damaged."""
    version: int = VERSION

    @property
    def size_bytes(self) -> int:
        """Of all files together."""
        return sum(file.size_bytes for file in self.files)

    def with_file(self, file: ManifestFile) -> Manifest:
        """Return the manifest with a file more, or in place of what it said of it."""
        kept = [one for one in self.files if one.place != file.place]
        return msgspec.structs.replace(self, files=[*kept, file])


def read(folder: Path) -> Manifest | None:
    """Return the manifest of a model's folder, None when there is none; StoreError when it is damaged."""
    path = folder / FILE
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise StoreError(
            f"cannot read {path} ({error}); remove the folder and pull the model again"
        ) from error
    for file in manifest.files:
        if file.place.is_absolute() or ".." in file.place.parts:
            raise StoreError(f"{path} names {file.path!r}, outside the model's folder; pull the model again")
    return manifest


def write(folder: Path, manifest: Manifest) -> None:
    """Write the manifest so that there is the old one or the new one, never half of one; StoreError."""
    path = folder / FILE
    partial = path.with_suffix(".partial")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
        partial.replace(path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}; free some space on that disk") from error
