"""Pulling, verifying and removing, from a hub that is a fake."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import msgspec
import pytest
from tests.models.fakes import FILES, TINY, FakeHub, Recorder, entry_in, safetensors, write_files

from limner.models.entry import Entry
from limner.models.errors import CancelledError, HubError, StoreError
from limner.models.folder_hub import FolderHub
from limner.models.hub import Hub
from limner.models.manifest import Manifest
from limner.models.pull import fetch
from limner.models.store import Store
from limner.models.survey import survey
from limner.models.verify import verify

BYTES = sum(len(content) for files in FILES.values() for content in files.values()) - len(b"hello")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def tiny(tmp_path: Path) -> Entry:
    return entry_in(tmp_path / "own")


def pull(entry: Entry, hub: Hub, store: Store, meter: Recorder | None = None) -> Manifest:
    return fetch(survey(entry, hub, store), hub, store, meter or Recorder())


def test_a_pull_brings_all_files_and_says_so(store: Store, tiny: Entry) -> None:
    assert store.state(tiny).presence == "missing"
    assert "limner models pull tiny" in store.state(tiny).sentence
    meter = Recorder()
    manifest = pull(tiny, FakeHub(), store, meter)
    assert manifest.is_complete and manifest.size_bytes == BYTES == meter.done_bytes
    assert store.state(tiny).presence == "here"
    paths = store.paths(tiny)
    assert paths["dit"].read_bytes() == FILES["me/distilled"]["causal/model.safetensors"]
    assert paths["text_encoder"] == store.folder("tiny") / "text_encoder" / "encoder"
    assert sorted(path.name for path in paths["tokenizer"].iterdir()) == ["special.json", "tokenizer.json"]
    assert not list(store.root.rglob("*.part"))
    assert verify(tiny, store, Recorder()) == ()


def test_nothing_is_fetched_twice(store: Store, tiny: Entry) -> None:
    pull(tiny, FakeHub(), store)
    hub = FakeHub()
    assert survey(tiny, hub, store).missing == ()
    pull(tiny, hub, store)
    assert hub.fetched == []


def test_a_broken_pull_goes_on_where_it_ended(store: Store, tiny: Entry) -> None:
    hub = FakeHub()

    def broken(path: str, begin: int) -> None:
        if path.startswith("causal") and begin >= 1000:
            raise HubError("the hub cannot be reached")

    hub.before_block = broken
    with pytest.raises(HubError, match="cannot be reached"):
        pull(tiny, hub, store)
    assert store.state(tiny).presence in ("missing", "partial")
    again = FakeHub()
    plan = survey(tiny, again, store)
    assert plan.begun_bytes >= 1000
    meter = Recorder()
    fetch(plan, again, store, meter)
    assert ("causal/model.safetensors", 1000) in again.fetched
    assert meter.done_bytes == plan.missing_bytes
    assert verify(tiny, store, Recorder()) == ()


def test_a_pull_that_lacks_one_of_many_files_is_not_complete(store: Store, tiny: Entry) -> None:
    pull(tiny, FakeHub(), store)
    (store.folder("tiny") / "tokenizer/google/tokenizer/special.json").unlink()
    hub = FakeHub()

    def broken(path: str, begin: int) -> None:
        raise HubError("the hub cannot be reached")

    hub.before_block = broken
    with pytest.raises(HubError):
        pull(tiny, hub, store)
    assert store.state(tiny).presence == "damaged"
    assert verify(tiny, store, Recorder())
    # *.json is matched by the other file: that is not all.
    assert store.state(tiny).presence == "partial"
    pull(tiny, FakeHub(), store)
    assert store.state(tiny).presence == "here"


def test_ctrl_c_is_clean_and_keeps_what_is_there(store: Store, tiny: Entry) -> None:
    hub = FakeHub()

    def interrupted(path: str, begin: int) -> None:
        if path.startswith("causal") and begin >= 500:
            hub.is_stalled = True
            os.kill(os.getpid(), signal.SIGINT)

    hub.before_block = interrupted
    with pytest.raises(CancelledError, match="stopped; what was fetched is kept"):
        pull(tiny, hub, store)
    assert survey(tiny, FakeHub(), store).begun_bytes >= 500


@pytest.mark.parametrize("path", ["causal/model.safetensors", "google/tokenizer/tokenizer.json"])
def test_another_content_than_the_published_one_is_refused(store: Store, tiny: Entry, path: str) -> None:
    hub = FakeHub()
    plan = survey(tiny, hub, store)
    repository = "me/distilled" if path.startswith("causal") else "wan/base"
    content = hub.files[repository][path]
    hub.files[repository][path] = bytes([content[0] ^ 1]) + content[1:]
    with pytest.raises(StoreError, match=f"{path} does not have the checksum that was published"):
        fetch(plan, hub, store, Recorder())
    # What was wrong is thrown away, or it would be gone on from.
    assert not list(store.root.rglob(f"{Path(path).parent.name}/.{Path(path).name}*"))
    pull(tiny, FakeHub(), store)
    assert store.state(tiny).presence == "here"


def test_a_checksum_in_the_models_file_counts(store: Store, tmp_path: Path) -> None:
    text = TINY.replace("about_bytes = 100", f'[parts.dit.sha256]\n"causal/model.safetensors" = "{"0" * 64}"')
    with pytest.raises(StoreError, match="checksum"):
        pull(entry_in(tmp_path / "own", text=text), FakeHub(), store)


def test_a_full_disk_is_said_in_a_sentence(store: Store, tiny: Entry) -> None:
    hub = FakeHub()

    def full(path: str, begin: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    hub.before_block = full
    with pytest.raises(StoreError, match=r"the disk of .* is full; free some space"):
        pull(tiny, hub, store)


def test_too_little_room_is_said_before(
    store: Store, tiny: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = os.statvfs(store.root.parent)
    blocks = os.statvfs_result((*info[:4], 10, *info[5:]))
    monkeypatch.setattr(os, "statvfs", lambda _: blocks)
    hub = FakeHub()
    with pytest.raises(StoreError, match=r"has \d+ kB free, 500 MB are needed"):
        pull(tiny, hub, store)
    assert hub.fetched == []
    # Links take no room.
    pull(tiny, FolderHub(write_files(tmp_path / "downloads")), store)


def test_what_is_not_published_is_named(store: Store, tiny: Entry) -> None:
    hub = FakeHub()
    del hub.files["wan/base"]["vae.safetensors"]
    with pytest.raises(HubError, match=r"wan/base has no file vae.safetensors \(the part vae\)"):
        survey(tiny, hub, store)
    del hub.files["me/distilled"]
    with pytest.raises(HubError, match="no repository me/distilled"):
        survey(tiny, hub, store)


def test_an_optional_part_that_cannot_be_had_is_left_out(store: Store, tiny: Entry) -> None:
    hub = FakeHub()
    del hub.files["small/vae"]
    plan = survey(tiny, hub, store)
    assert "left out taehv" in plan.notes[0]
    fetch(plan, hub, store, Recorder())
    assert store.state(tiny).presence == "here"
    assert set(store.paths(tiny)) == {"dit", "vae", "text_encoder", "tokenizer"}


def test_the_autoencoder_that_is_painted_with_is_not_optional(store: Store, tiny: Entry) -> None:
    small = msgspec.structs.replace(tiny, engine={**tiny.engine, "vae": {"kind": "taehv"}})
    hub = FakeHub()
    del hub.files["small/vae"]
    fetch(survey(tiny, hub, store), hub, store, Recorder())
    assert store.state(small).presence == "partial"
    with pytest.raises(HubError, match="small/vae"):
        survey(small, hub, store)


def test_a_hub_cannot_write_outside(store: Store, tiny: Entry) -> None:
    hub = FakeHub()
    hub.files["wan/base"]["google/tokenizer/../../../evil.json"] = b"{}"
    with pytest.raises(HubError, match="no path inside it; nothing was fetched"):
        survey(tiny, hub, store)


def test_models_share_files(store: Store, tiny: Entry, tmp_path: Path) -> None:
    pull(tiny, FakeHub(), store)
    large = entry_in(tmp_path / "own", "large", 'base = "tiny"\n[parts.dit]\npath = "other.safetensors"')
    (tmp_path / "own" / "other.safetensors").write_bytes(safetensors(9))
    hub = FakeHub()
    plan = survey(large, hub, store)
    assert (plan.shared_bytes, plan.room_bytes) == (plan.missing_bytes, 0)
    fetch(plan, hub, store, Recorder())
    assert hub.fetched == []
    assert store.paths(large)["dit"] == tmp_path / "own" / "other.safetensors"
    assert store.paths(large)["vae"].samefile(store.paths(tiny)["vae"])
    removed = store.remove("large")
    assert (removed.freed_bytes, removed.left) == (0, ())
    assert removed.shared_bytes > 0
    assert verify(tiny, store, Recorder()) == ()
    assert store.remove("tiny").freed_bytes == BYTES
    assert not store.folder("tiny").exists()


def test_what_another_model_has_damaged_is_fetched(store: Store, tiny: Entry, tmp_path: Path) -> None:
    pull(tiny, FakeHub(), store)
    other = entry_in(tmp_path / "own", name="other")
    pull(other, FakeHub(), store)
    damaged = store.paths(tiny)["vae"]
    # One file on the disk for both models.
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    assert len(verify(tiny, store, Recorder())) == 1
    meter = Recorder()
    plan, hub = survey(tiny, FakeHub(), store), FakeHub()
    fetch(plan, hub, store, meter)
    assert hub.fetched == [("vae.safetensors", 0)]
    assert meter.done_bytes == plan.missing_bytes
    assert verify(tiny, store, Recorder()) == ()


def test_a_disk_that_fails_is_said_in_a_sentence(
    store: Store, tiny: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = FakeHub()

    def broken(path: str, begin: int) -> None:
        # A write that fails names no file.
        raise OSError(errno.EIO, "Input/output error")

    hub.before_block = broken
    with pytest.raises(StoreError, match=r"cannot write below .*store: Input/output error"):
        pull(tiny, hub, store)
    pull(tiny, FakeHub(), store)

    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (store.paths(tiny)["vae"]).write_bytes(safetensors(9))
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StoreError, match=r"cannot write .*manifest.json: No space left"):
        verify(tiny, store, Recorder())


def test_two_pulls_of_one_model_do_not_meet(store: Store, tiny: Entry) -> None:
    with store.lock("tiny"), pytest.raises(StoreError, match="another limner is at work on tiny"):
        pull(tiny, FakeHub(), store)


# ---- verify


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "is empty"), (safetensors(9)[:-1], "instead of"), (b"hello", "cut off"), (None, "is not there")],
)
def test_a_file_of_ones_own_is_looked_at_before_anything_is_loaded(
    store: Store, tmp_path: Path, content: bytes | None, words: str
) -> None:
    own = tmp_path / "own"
    entry_in(own)
    entry = entry_in(own, "mine", 'base = "tiny"\n[parts.dit]\npath = "mine.safetensors"')
    place = own / "mine.safetensors"
    place.write_bytes(safetensors(9))
    pull(entry, FakeHub(), store)
    assert store.state(entry).presence == "here" and store.local_faults(entry) == []
    place.unlink()
    if content is not None:
        place.write_bytes(content)
    state = store.state(entry)
    assert state.presence in ("damaged", "missing")
    assert str(place) in state.sentence and words in state.sentence and "mine.toml" in state.sentence
    assert store.local_faults(entry) == [state.sentence]
    with pytest.raises(StoreError, match=r"mine\.safetensors"):
        store.paths(entry)


def test_verify_finds_damage_and_the_next_pull_mends_it(store: Store, tiny: Entry) -> None:
    pull(tiny, FakeHub(), store)
    path = store.paths(tiny)["vae"]
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"\0")
    assert store.state(tiny).presence == "here"
    assert verify(tiny, store, Recorder()) == (f"{path} is not what was pulled",)
    assert store.state(tiny).presence == "partial"
    hub = FakeHub()
    pull(tiny, hub, store)
    assert [name for name, _ in hub.fetched] == ["vae.safetensors"]
    assert path.read_bytes() == content


def test_a_file_that_is_gone_or_cut_off_is_seen_at_once(store: Store, tiny: Entry) -> None:
    pull(tiny, FakeHub(), store)
    path = store.paths(tiny)["vae"]
    path.write_bytes(b"")
    assert store.state(tiny).presence == "damaged"
    with pytest.raises(StoreError, match=r"has another size; run: limner models pull tiny"):
        store.paths(tiny)
    path.unlink()
    assert "is missing" in verify(tiny, store, Recorder())[0]


def test_a_damaged_manifest_is_named(store: Store, tiny: Entry) -> None:
    pull(tiny, FakeHub(), store)
    (store.folder("tiny") / "manifest.json").write_text("{")
    assert store.state(tiny).presence == "damaged"
    with pytest.raises(StoreError, match=r"manifest.json .* pull the model again"):
        store.paths(tiny)


# ---- remove


def test_remove_touches_nothing_else(store: Store, tiny: Entry, tmp_path: Path) -> None:
    pull(tiny, FakeHub(), store)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "vae.safetensors").write_bytes(b"mine")
    folder = store.folder("tiny")
    (folder / "notes.txt").write_text("mine too")
    (folder / "vae" / "vae.safetensors").unlink()
    (folder / "vae").rmdir()
    (folder / "vae").symlink_to(outside)
    removed = store.remove("tiny")
    assert removed.left == (folder / "notes.txt", folder / "vae")
    assert (outside / "vae.safetensors").read_bytes() == b"mine"
    with pytest.raises(StoreError, match="nope is not on this machine"):
        store.remove("nope")


# ---- from a folder


def test_a_folder_stands_for_the_hub(store: Store, tiny: Entry, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "downloads")
    manifest = pull(tiny, FolderHub(folder), store)
    assert manifest.is_complete and manifest.size_bytes == BYTES
    assert verify(tiny, store, Recorder()) == ()
    # Linked, not copied; and what was there stays there when the model goes.
    assert store.remove("tiny").freed_bytes == 0
    assert (folder / "me/distilled/causal/model.safetensors").exists()


@pytest.mark.parametrize("layout", ["base", "models--wan--base/snapshots/abc", "vae", ""])
def test_a_part_is_found_in_every_usual_place(store: Store, tmp_path: Path, layout: str) -> None:
    text = TINY.replace('files = ["vae.safetensors"]', 'files = ["deep/vae.safetensors"]')
    files = {"": {f"{layout}/deep/vae.safetensors".lstrip("/"): safetensors(2)}}
    folder = write_files(tmp_path / "downloads", files)
    entry = entry_in(tmp_path / "own", text=text)
    hub = FolderHub(folder)
    assert [file.path for file in hub.listing("vae", entry.parts["vae"]).files] == ["deep/vae.safetensors"]


def test_single_files_may_lie_flat(tmp_path: Path, tiny: Entry) -> None:
    (tmp_path / "model.safetensors").write_bytes(safetensors(1))
    listing = FolderHub(tmp_path).listing("dit", tiny.parts["dit"])
    assert [file.path for file in listing.files] == ["causal/model.safetensors"]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "is empty"),
        (safetensors(2)[:-1], "bytes instead of"),
        (b"garbage and more", "no safetensors file"),
        (b"version 1\noid sha256:00\nsize 5\n", "git lfs pull"),
    ],
)
def test_damaged_files_of_a_folder_are_refused(
    store: Store, tiny: Entry, tmp_path: Path, content: bytes, fault: str
) -> None:
    folder = write_files(tmp_path / "downloads")
    (folder / "wan/base/vae.safetensors").write_bytes(content)
    with pytest.raises(StoreError, match=fault):
        pull(tiny, FolderHub(folder), store)
    assert (folder / "wan/base/vae.safetensors").read_bytes() == content


def test_a_missing_shard_is_named(store: Store, tiny: Entry, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "downloads")
    (folder / "wan/base/encoder/t5/model-2.safetensors").unlink()
    with pytest.raises(StoreError, match=r"index.json names model-2.safetensors, which is not there"):
        pull(tiny, FolderHub(folder), store)
    assert not store.manifest("tiny").is_complete


def test_a_folder_that_lacks_a_part(tmp_path: Path, tiny: Entry, store: Store) -> None:
    with pytest.raises(HubError, match=r"lacks causal/model.safetensors of me/distilled \(the part dit\)"):
        survey(tiny, FolderHub(tmp_path), store)
    with pytest.raises(HubError, match="is no folder"):
        FolderHub(tmp_path / "none")
