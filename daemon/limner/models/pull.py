"""Fetching a model: what is missing, from the hub or a folder, checked, and written down in the manifest."""

from __future__ import annotations

import errno
import queue
import threading
import time
from pathlib import Path
from typing import Protocol

import msgspec

from limner.models import manifest as manifests
from limner.models.errors import CancelledError, ModelsError, StoreError
from limner.models.hashing import git_id_of, sha256_of
from limner.models.hub import Hub
from limner.models.linking import link_or_copy
from limner.models.manifest import Manifest, ManifestFile
from limner.models.store import Store
from limner.models.structure import check_file, check_shards
from limner.models.survey import Item, Survey, partial_path

WORKERS = 4
# A disk that is filled to the last byte helps nobody.
SPARE_BYTES = 500_000_000
_LAST_CHUNK_S = 3.0


class Meter(Protocol):
    """Shows progress. Called on any thread."""

    def advance(self, size_bytes: int) -> None:
        """So many bytes more are there (fewer, when some had to be thrown away)."""

    def note(self, sentence: str) -> None:
        """What is being done now."""


def fetch(plan: Survey, hub: Hub, store: Store, meter: Meter) -> Manifest:
    """Bring all missing files, check them, and write the manifest, which also is returned.

    What was fetched stays when it fails or is stopped by Ctrl-C: the next pull goes on from there.
    Raises HubError, StoreError, or CancelledError.
    """
    with store.lock(plan.entry.name):
        if plan.room_bytes:
            store.check_room(plan.room_bytes + SPARE_BYTES)
        _Pull(plan, hub, store, meter).run()
        return _finish(plan, store)


class _Pull:
    """Some threads that fetch from one list. The first fault stops all of them."""

    def __init__(self, plan: Survey, hub: Hub, store: Store, meter: Meter) -> None:
        self._plan, self._hub, self._store, self._meter = plan, hub, store, meter
        self._folder = store.folder(plan.entry.name)
        self._list: queue.SimpleQueue[Item] = queue.SimpleQueue()
        # The largest first: they take longest.
        for item in sorted(plan.missing, key=lambda item: -item.file.size_bytes):
            self._list.put(item)
        self._stop = threading.Event()
        self._manifest_lock = threading.Lock()
        self._fault: BaseException | None = None

    def run(self) -> None:
        # Daemon threads: one that waits for the network must not hold up who wants to leave.
        # Events: a join that Ctrl-C interrupts takes a thread that runs for one that has ended.
        ended = [threading.Event() for _ in range(WORKERS)]
        threads = [
            threading.Thread(target=self._work, args=(event,), daemon=True, name="limner-pull")
            for event in ended
        ]
        try:
            for thread in threads:
                thread.start()
            for event in ended:
                while not event.wait(0.1):
                    pass
        except KeyboardInterrupt:
            self._stop.set()
            end_s = time.monotonic() + _LAST_CHUNK_S
            for thread, event in zip(threads, ended, strict=True):
                if thread.ident is not None:
                    event.wait(max(0.0, end_s - time.monotonic()))
            raise CancelledError("stopped; what was fetched is kept, and the same command goes on") from None
        if self._fault is not None:
            raise self._fault

    def _work(self, ended: threading.Event) -> None:
        try:
            while not self._stop.is_set():
                try:
                    item = self._list.get_nowait()
                except queue.Empty:
                    return
                self._bring(item)
        except BaseException as error:
            # The top of the thread: whatever it was, who waits must hear of it; the first fault counts.
            if self._fault is None and not isinstance(error, CancelledError):
                self._fault = _in_words(error, self._store)
            self._stop.set()
        finally:
            ended.set()

    def _advance(self, size_bytes: int) -> None:
        if self._stop.is_set():
            raise CancelledError("stopped")
        self._meter.advance(size_bytes)

    def _bring(self, item: Item) -> None:
        partial = partial_path(self._folder, item)
        partial.parent.mkdir(parents=True, exist_ok=True)
        checked = self._from_twin(item, partial)
        if checked is None:
            self._hub.fetch(item.part, item.commit, item.file, partial, self._advance)
            checked = self._checked(item, partial)
        partial.replace(self._folder / checked.place)
        with self._manifest_lock:
            manifest = self._store.manifest(self._plan.entry.name).with_file(checked)
            manifests.write(self._folder, msgspec.structs.replace(manifest, is_complete=False))

    def _from_twin(self, item: Item, partial: Path) -> ManifestFile | None:
        """Take the file from another model that has it: fetched once, on the disk once. None: none has it."""
        twin = self._store.twin(item.known)
        if twin is None:
            return None
        self._meter.note(f"{item.file.path} is here already")
        partial.unlink(missing_ok=True)
        link_or_copy(twin, partial, self._advance)
        try:
            return self._checked(item, partial)
        except StoreError:
            # Damaged there, too (the two may be one file on the disk): then it is fetched.
            return None

    def _checked(self, item: Item, partial: Path) -> ManifestFile:
        """Return what the manifest will say of a file, StoreError when it is not what was published."""
        known, name = item.known, f"{item.part.repository}/{item.file.path}"
        self._meter.note(f"checking {item.file.path}")
        try:
            if partial.stat().st_size != known.size_bytes:
                raise StoreError(f"{name} has {partial.stat().st_size} bytes instead of {known.size_bytes}")
            sha256 = sha256_of(partial, lambda _: self._advance(0))
            if known.sha256 and sha256 != known.sha256:
                raise StoreError(f"{name} does not have the checksum that was published; pull it again")
            if not known.sha256 and item.file.git_id and git_id_of(partial) != item.file.git_id:
                raise StoreError(f"{name} does not have the checksum that was published; pull it again")
            check_file(partial, name)
        except StoreError:
            # It would only be gone on from.
            self._meter.advance(-partial.stat().st_size)
            partial.unlink()
            raise
        finally:
            self._meter.note("")
        return msgspec.structs.replace(known, sha256=sha256)


def _finish(plan: Survey, store: Store) -> Manifest:
    """Look at the model as a whole and say that it is complete."""
    folder = store.folder(plan.entry.name)
    manifest = store.manifest(plan.entry.name)
    for file in manifest.files:
        if file.path.endswith(".index.json"):
            check_shards(folder / file.place)
    manifest = msgspec.structs.replace(manifest, is_complete=True)
    manifests.write(folder, manifest)
    return manifest


def _in_words(error: BaseException, store: Store) -> BaseException:
    if isinstance(error, OSError) and not isinstance(error, ModelsError):
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return StoreError(
                f"the disk of {store.root} is full; free some space and pull again (what was fetched is"
                " kept), or set LIMNER_MODELS_DIR to a folder on another disk"
            )
        where = error.filename or f"below {store.root}"
        return StoreError(f"cannot write {where}: {error.strerror or error}; set LIMNER_MODELS_DIR")
    return error
