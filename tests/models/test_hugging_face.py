"""The real huggingface_hub against a hub on this machine."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from tests.models.fakes import Recorder, entry_in, safetensors
from tests.models.loopback_hub import COMMIT, loopback_hub

from limner.models.entry import Part
from limner.models.errors import CancelledError, HubError
from limner.models.hub import RemoteFile
from limner.models.hugging_face import HuggingFaceHub
from limner.models.pull import fetch
from limner.models.store import Store
from limner.models.survey import survey
from limner.models.verify import verify

LARGE = safetensors(7, 3_000_000)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100_000)


def test_a_pull_lists_fetches_and_checks(tmp_path: Path) -> None:
    entry, store = entry_in(tmp_path / "own"), Store(tmp_path / "store")
    with loopback_hub() as (address, handler):
        hub, meter = HuggingFaceHub(address), Recorder()
        plan = survey(entry, hub, store)
        assert plan.licences["wan/base"] == "apache-2.0"
        manifest = fetch(plan, hub, store, meter)
        assert manifest.is_complete and meter.done_bytes == plan.missing_bytes
        assert len(handler.requests) == len(plan.items)
    assert {file.commit for file in manifest.files} == {COMMIT}
    assert verify(entry, store, Recorder()) == ()


def test_a_stopped_download_goes_on_in_another_process(tmp_path: Path) -> None:
    part = Part(repository="me/large", files=["model.safetensors"])
    target = tmp_path / "partial"
    with loopback_hub({"me/large": {"model.safetensors": LARGE}}) as (address, handler):
        (file,) = HuggingFaceHub(address).listing("dit", part).files
        done = Recorder()

        def stopping(size_bytes: int) -> None:
            done.advance(size_bytes)
            if done.done_bytes >= 1_000_000:
                raise CancelledError("stopped")

        with pytest.raises(CancelledError):
            HuggingFaceHub(address).fetch(part, COMMIT, file, target, stopping)
        begun_bytes = target.stat().st_size
        assert 0 < begun_bytes < len(LARGE)
        again = Recorder()
        HuggingFaceHub(address).fetch(part, COMMIT, file, target, again.advance)
        assert handler.requests == [("model.safetensors", ""), ("model.safetensors", f"bytes={begun_bytes}-")]
    assert again.done_bytes == len(LARGE)
    assert target.read_bytes() == LARGE


def test_files_that_http_does_not_give_are_fetched_by_the_library(tmp_path: Path) -> None:
    part, target = Part(repository="me/large", files=["model.safetensors"]), tmp_path / "partial"
    with loopback_hub({"me/large": {"model.safetensors": LARGE}}) as (address, _):
        hub = HuggingFaceHub(address, most_http_bytes=1000)
        (file,) = hub.listing("dit", part).files
        hub.fetch(part, COMMIT, file, target, Recorder().advance)
    assert target.read_bytes() == LARGE
    assert list(tmp_path.iterdir()) == [target]


def test_the_login_does_not_leave_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    part, target = Part(repository="elsewhere/large", files=["model.safetensors"]), tmp_path / "partial"
    target.write_bytes(LARGE[:1000])
    with loopback_hub({"elsewhere/large": {"model.safetensors": LARGE}}) as (address, handler):
        hub = HuggingFaceHub(address)
        (file,) = hub.listing("dit", part).files
        hub.fetch(part, COMMIT, file, target, Recorder().advance)
        assert handler.tokens == ["Bearer hf_secret", None]
        assert handler.requests == [("model.safetensors", "bytes=1000-")]
    assert target.read_bytes() == LARGE


def test_what_is_no_beginning_of_the_file_is_thrown_away(tmp_path: Path) -> None:
    part, target = Part(repository="me/large", files=["model.safetensors"]), tmp_path / "partial"
    target.write_bytes(LARGE + b"more")
    with loopback_hub({"me/large": {"model.safetensors": LARGE}}) as (address, _):
        hub, meter = HuggingFaceHub(address), Recorder()
        (file,) = hub.listing("dit", part).files
        hub.fetch(part, COMMIT, file, target, meter.advance)
        assert (target.read_bytes(), meter.done_bytes) == (LARGE, len(LARGE))
        longer = dataclasses.replace(file, size_bytes=len(LARGE) + 5)
        with pytest.raises(HubError, match=r"the files of me/large did not come whole \(.*\); pull again"):
            hub.fetch(part, COMMIT, longer, tmp_path / "other", meter.advance)


@pytest.mark.parametrize(
    ("repository", "fault"),
    [
        ("gated/model", "gated/model is gated: accept its terms .* `hf auth login`, and pull again"),
        ("no/model", "the hub has no repository no/model, or it is private"),
        ("busy/model", "the hub answers 418 for busy/model"),
    ],
)
def test_faults_of_the_hub_are_sentences(repository: str, fault: str) -> None:
    with loopback_hub() as (address, _), pytest.raises(HubError, match=fault):
        HuggingFaceHub(address).listing("dit", Part(repository=repository, files=["x"]))


def test_no_network_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with loopback_hub() as (address, _):
        pass
    part = Part(repository="me/distilled", files=["x"])
    with pytest.raises(HubError, match=r"the hub cannot be reached \(.+\): check the network"):
        HuggingFaceHub(address).listing("dit", part)
    # The library tries again a few times, with pauses, while a file is fetched.
    monkeypatch.setattr("time.sleep", lambda _: None)
    file = RemoteFile(path="x", size_bytes=5)
    with pytest.raises(HubError, match="what was fetched is kept"):
        HuggingFaceHub(address).fetch(part, COMMIT, file, tmp_path / "x", Recorder().advance)


def test_offline_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set: unset it"):
        HuggingFaceHub().listing("dit", Part(repository="me/distilled", files=["x"]))


def test_the_library_is_not_loaded_with_ours() -> None:
    import subprocess
    import sys

    code = "import sys, limner.models.hugging_face, limner.cli.main; print('huggingface_hub' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
