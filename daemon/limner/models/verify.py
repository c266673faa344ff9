"""Reading all files of a model through, against the checksums of its manifest."""

from __future__ import annotations

import msgspec

from limner.models import manifest as manifests
from limner.models.entry import Entry
from limner.models.errors import StoreError
from limner.models.hashing import sha256_of
from limner.models.manifest import ManifestFile
from limner.models.pull import Meter
from limner.models.store import Store


def verify(entry: Entry, store: Store, meter: Meter) -> tuple[str, ...]:
    """Return a sentence for each file that is not what was pulled; the next pull fetches those anew.

    Files that a model uses in place have no checksum: they are only looked at. Raises StoreError when the
    model is not here at all.
    """
    state = store.state(entry)
    if state.presence == "missing":
        raise StoreError(state.sentence)
    faults = store.local_faults(entry)
    with store.lock(entry.name):
        manifest, good = store.manifest(entry.name), []
        for file in manifest.files:
            fault = _fault(file, entry, store, meter)
            if fault:
                faults.append(fault)
            else:
                good.append(file)
        if len(good) < len(manifest.files):
            folder = store.folder(entry.name)
            manifests.write(folder, msgspec.structs.replace(manifest, files=good, is_complete=False))
    return tuple(faults)


def _fault(file: ManifestFile, entry: Entry, store: Store, meter: Meter) -> str:
    path = store.folder(entry.name) / file.place
    meter.note(file.path)
    if not path.is_file():
        return f"{path} is missing"
    if path.stat().st_size != file.size_bytes:
        return f"{path} has {path.stat().st_size} bytes instead of {file.size_bytes}"
    try:
        return "" if sha256_of(path, meter.advance) == file.sha256 else f"{path} is not what was pulled"
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
