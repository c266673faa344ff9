"""The models' files on this machine: NAME/PART/PATH and NAME/manifest.json in one folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Literal

from limner.models import manifest as manifests
from limner.models.entry import Entry, PartName
from limner.models.errors import StoreError
from limner.models.manifest import Manifest, ManifestFile
from limner.models.paths import models_dir
from limner.models.structure import check_file
from limner.models.words import size

PARTIAL = ".part"
_LOCK = ".lock"
Presence = Literal["here", "partial", "missing", "damaged"]


@dataclass(frozen=True)
class State:
    """Whether a model can be loaded."""

    presence: Presence
    sentence: str
    """Says so, and what to do where it cannot."""
    size_bytes: int = 0
    """Of its files on this machine."""


@dataclass(frozen=True)
class Removed:
    """What `Store.remove` did."""

    freed_bytes: int
    shared_bytes: int
    """Of files that another model uses too, which stay for that one."""
    left: tuple[Path, ...]
    """Files in the model's folder that Limner did not put there: they were not touched."""


class Store:
    """All models' files below `root`."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = models_dir() if root is None else root

    def folder(self, name: str) -> Path:
        """Return where a model's files are."""
        return self.root / name

    def is_model(self, name: str) -> bool:
        """Return whether `name` is the name of a folder here that was pulled (or begun to be)."""
        plain = name not in ("", ".", "..") and Path(name).name == name
        return plain and any((self.folder(name) / file).is_file() for file in (manifests.FILE, _LOCK))

    def manifest(self, name: str) -> Manifest:
        """Return what was fetched of a model; StoreError when that cannot be read."""
        return manifests.read(self.folder(name)) or Manifest(model=name)

    def state(self, entry: Entry) -> State:
        """Look whether all files of a model are there, each of its right size. Nothing is read through."""
        try:
            manifest = self.manifest(entry.name)
        except StoreError as error:
            return State("damaged", str(error))
        for name in entry.parts:
            faulty = self._fault(entry, name, manifest)
            if faulty and entry.needs(name):
                return State(faulty.presence, faulty.sentence, manifest.size_bytes)
        return State("here", f"{entry.name} is on this machine", manifest.size_bytes)

    def has(self, entry: Entry, part: PartName) -> bool:
        """Return whether a part of the model is there."""
        return part in entry.parts and self._fault(entry, part, self.manifest(entry.name)) is None

    def paths(self, entry: Entry) -> dict[PartName, Path]:
        """Return the file or folder of every part that is there; StoreError when one is not that must be."""
        state = self.state(entry)
        if state.presence != "here":
            raise StoreError(state.sentence)
        return {name: self._path(entry, name) for name in entry.parts if self.has(entry, name)}

    def local_faults(self, entry: Entry) -> list[str]:
        """Return a sentence for each part of the user's own that is not there, or not whole."""
        local = (path for name in entry.parts if (path := entry.local_path(name)))
        return [fault.sentence for path in local if (fault := _fault_of_local(path, entry))]

    def _path(self, entry: Entry, name: PartName) -> Path:
        part = entry.parts[name]
        inside = part.files[0] if part.is_single_file else part.folder
        return entry.local_path(name) or self.folder(entry.name) / name / inside

    def _fault(self, entry: Entry, name: PartName, manifest: Manifest) -> State | None:
        """Return what is wrong with a part, None when it can be loaded."""
        local = entry.local_path(name)
        return (
            self._fault_of_pulled(entry, name, manifest) if local is None else _fault_of_local(local, entry)
        )

    def _fault_of_pulled(self, entry: Entry, name: PartName, manifest: Manifest) -> State | None:
        part, again = entry.parts[name], f"run: limner models pull {entry.name}"
        if not manifest.files:
            return State("missing", f"{entry.name} is not on this machine; {again}")
        files = [file for file in manifest.files if file.part == name and file.repository == part.repository]
        for pattern in part.files:
            full = str(PurePosixPath(part.folder) / pattern)
            if not any(fnmatchcase(file.path, full) for file in files):
                return State("partial", f"{entry.name} is not complete, {full} is missing; {again}")
        if not manifest.is_complete:
            return State("partial", f"{entry.name} is not whole yet, or was found damaged; {again}")
        for file in files:
            path = self.folder(entry.name) / file.place
            if not path.is_file() or path.stat().st_size != file.size_bytes:
                return State("damaged", f"{path} is missing or has another size; {again}")
        return None

    def twin(self, wanted: ManifestFile) -> Path | None:
        """Return the same file of another model, by checksum or by where it came from; None: none has it."""
        for folder in sorted(self.root.glob("*/")):
            with contextlib.suppress(StoreError):
                for file in (manifests.read(folder) or Manifest(model="")).files:
                    path = folder / file.place
                    if _same(file, wanted) and path.is_file() and path.stat().st_size == file.size_bytes:
                        return path
        return None

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Keep other processes from changing this model; StoreError when one does so already."""
        folder = self.folder(name)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StoreError(f"cannot write to {folder}: {error.strerror}; set LIMNER_MODELS_DIR") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise StoreError(f"another limner is at work on {name}; wait until it has ended") from error
        try:
            yield
        finally:
            os.close(descriptor)

    def remove(self, name: str) -> Removed:
        """Delete what was fetched for a model, and nothing else; StoreError when there is nothing."""
        folder = self.folder(name)
        if not folder.is_dir():
            raise StoreError(f"{name} is not on this machine; nothing was removed")
        with self.lock(name):
            ours = [folder / file.place for file in self.manifest(name).files]
            ours += [path for path in folder.rglob(f"*{PARTIAL}") if path.is_file()]
            for path in folder.rglob(f"*{PARTIAL}.d"):
                shutil.rmtree(path)
            freed, shared = 0, 0
            for path in ours:
                size_bytes, is_shared = _delete(path, folder)
                freed, shared = freed + size_bytes * (not is_shared), shared + size_bytes * is_shared
            (folder / manifests.FILE).unlink(missing_ok=True)
            (folder / _LOCK).unlink(missing_ok=True)
        _remove_empty(folder)
        left = (
            tuple(sorted(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()))
            if folder.exists()
            else ()
        )
        return Removed(freed, shared, left)

    def check_room(self, needed_bytes: int) -> None:
        """Raise StoreError when the disk has not this much free."""
        there = next(path for path in (self.root, *self.root.absolute().parents) if path.exists())
        info = os.statvfs(there)
        free_bytes = info.f_bavail * info.f_frsize
        if free_bytes < needed_bytes:
            raise StoreError(
                f"the disk of {self.root} has {size(free_bytes)} free, {size(needed_bytes)} are needed; free"
                " some, or set LIMNER_MODELS_DIR to a folder on another disk"
            )


def _fault_of_local(path: Path, entry: Entry) -> State | None:
    """Look at a file or folder of the user's own, which nobody has checked."""
    if not path.exists():
        return State("missing", f"{path} is not there; {entry.source} names it")
    try:
        if path.is_file():
            check_file(path)
    except StoreError as error:
        return State("damaged", f"{error}; {entry.source} names it")
    except OSError as error:
        return State("damaged", f"cannot read {path}: {error.strerror}; {entry.source} names it")
    return None


def _same(one: ManifestFile, other: ManifestFile) -> bool:
    if one.sha256 and other.sha256:
        return one.sha256 == other.sha256
    return (one.repository, one.commit, one.path) == (other.repository, other.commit, other.path) and bool(
        one.commit
    )


def _delete(path: Path, folder: Path) -> tuple[int, bool]:
    """Delete a file inside `folder`; return its bytes and whether somebody else still has it."""
    # A folder in between may be a link to somewhere else: what is there is not ours.
    if not path.parent.resolve().is_relative_to(folder.resolve()) or not os.path.lexists(path):
        return 0, False
    info = path.lstat()
    try:
        path.unlink()
    except OSError as error:
        raise StoreError(f"cannot remove {path}: {error.strerror}") from error
    return info.st_size, info.st_nlink > 1


def _remove_empty(folder: Path) -> None:
    for path in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
        with contextlib.suppress(OSError):
            path.rmdir()
    with contextlib.suppress(OSError):
        folder.rmdir()
