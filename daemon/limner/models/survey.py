"""What a pull will do: which files a model has, which are here, what is to be fetched."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from limner.models.entry import Entry, Part, PartName
from limner.models.errors import HubError
from limner.models.hub import Hub, RemoteFile, wanted_files
from limner.models.manifest import Manifest, ManifestFile
from limner.models.store import PARTIAL, Store
from limner.models.words import size


@dataclass(frozen=True, kw_only=True)
class Item:
    """One file to be there."""

    name: PartName
    part: Part
    commit: str
    file: RemoteFile

    @property
    def known(self) -> ManifestFile:
        """What the manifest should say of it; the checksum is empty where nobody published one."""
        return ManifestFile(
            part=self.name,
            path=self.file.path,
            repository=self.part.repository,
            commit=self.commit,
            size_bytes=self.file.size_bytes,
            sha256=self.part.sha256.get(self.file.path, self.file.sha256),
        )


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What a pull will do."""

    entry: Entry
    items: tuple[Item, ...]
    """All files of the model."""
    missing: tuple[Item, ...]
    """Those to be fetched."""
    begun_bytes: int
    """Of the missing, what an earlier pull has already."""
    shared_bytes: int
    """Of the missing, what another model has: it is linked."""
    room_bytes: int
    """What the rest of the missing will take of the disk."""
    licences: dict[str, str]
    """By repository, as its model card says."""
    notes: tuple[str, ...]
    """Parts that the model works without and that cannot be had."""

    @property
    def missing_bytes(self) -> int:
        """Bytes to fetch, with those that an earlier pull has already."""
        return _bytes_of(self.missing)


def survey(entry: Entry, hub: Hub, store: Store) -> Survey:
    """Ask what files there are and look which are here; HubError or StoreError when that is not to be had."""
    items: list[Item] = []
    licences: dict[str, str] = {}
    notes: list[str] = []
    for name, part in entry.parts.items():
        if part.path:
            continue
        try:
            listing = hub.listing(name, part)
            found = wanted_files(name, part, listing)
        except HubError as error:
            if entry.needs(name):
                raise
            notes.append(f"left out {name}, which {entry.name} works without: {error}")
            continue
        licences[part.repository] = listing.licence
        items += [Item(name=name, part=part, commit=listing.commit, file=file) for file in found]
    folder, manifest = store.folder(entry.name), store.manifest(entry.name)
    missing = tuple(item for item in items if not _is_here(item, folder, manifest))
    shared = [item for item in missing if store.twin(item.known) is not None]
    to_get = [item for item in missing if item not in shared]
    begun_bytes = sum(_begun_bytes(folder, item) for item in to_get)
    takes_room = hub.takes_room(store.root)
    return Survey(
        entry=entry,
        items=tuple(items),
        missing=missing,
        begun_bytes=begun_bytes,
        shared_bytes=_bytes_of(shared),
        room_bytes=max(0, _bytes_of(to_get) - begun_bytes) if takes_room else 0,
        licences=licences,
        notes=tuple(notes),
    )


def _bytes_of(items: Iterable[Item]) -> int:
    return sum(item.file.size_bytes for item in items)


def _begun_bytes(folder: Path, item: Item) -> int:
    path = partial_path(folder, item)
    return path.stat().st_size if path.exists() else 0


def _is_here(item: Item, folder: Path, manifest: Manifest) -> bool:
    known = item.known
    path = folder / known.place
    for file in manifest.files:
        if file.place == known.place and file.repository == known.repository:
            same = file.size_bytes == known.size_bytes and known.sha256 in ("", file.sha256)
            return same and path.is_file() and path.stat().st_size == file.size_bytes
    return False


def partial_path(folder: Path, item: Item) -> Path:
    """Where a file is while it is fetched; another version of it has another name."""
    version = (item.known.sha256 or item.file.git_id or item.commit or "0")[:12]
    place = folder / item.known.place
    return place.with_name(f".{place.name}.{version}{PARTIAL}")


def total(plan: Survey) -> str:
    """Return what is to be fetched in words: "17.7 GB, 3.2 GB of them here already"."""
    begun = f", {size(plan.begun_bytes)} of them here already" if plan.begun_bytes else ""
    shared = f", {size(plan.shared_bytes)} shared with another model" if plan.shared_bytes else ""
    return f"{size(plan.missing_bytes)}{begun}{shared}"
