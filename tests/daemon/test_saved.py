"""The user's choices for every daemon."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from limner.daemon.saved import Saved, SavedError, check, read, save_engine


def test_nothing_chosen(tmp_path: Path) -> None:
    assert read(tmp_path / "config.toml") == Saved()


def test_a_choice_leaves_the_rest_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "limner" / "config.toml"
    save_engine("wan-1.3b", path)
    assert read(path).engine == "wan-1.3b"
    path.write_text('# mine\nengine = "echo"  # for now\ndevice = "cuda:1"\n')
    save_engine("pocket", path)
    assert read(path) == Saved(engine="pocket", device="cuda:1")
    assert path.read_text().startswith("# mine\n") and "# for now" in path.read_text()
    assert [file.name for file in path.parent.iterdir()] == ["config.toml"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('engin = "pocket"', "unknown key 'engin'; did you mean 'engine'?"),
        ('[memory]\nweights = "fp4"', "memory.weights is 'fp4'; it must be one of bf16, fp8, int8"),
        ("[memory]\nsize = [100, 96]", "it must be a whole number in steps of 16 from 16 to 4096"),
        ("[memory]\nsize = [96]", "memory.size has 1 entries; it must be a list of 2"),
    ],
)
def test_a_mistake_is_told_in_words(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(SavedError) as error:
        read(path)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("saved", "words"),
    [
        (Saved(engine="wan-1.3"), "unknown engine 'wan-1.3'; did you mean wan-1.3b?"),
        (Saved(device="gpu"), "device must be auto, cpu, cuda or cuda:N, not 'gpu'"),
        (Saved(threads=999), "threads must be 0"),
    ],
)
def test_a_choice_that_no_daemon_starts_with_is_named_with_its_file(saved: Saved, words: str) -> None:
    with pytest.raises(SavedError, match=r"config\.toml: ") as error:
        check(saved)
    assert words in str(error.value)
    check(saved, but=["engine", "device", "threads"])
    check(Saved(engine="auto", device="cuda:1", threads=2))


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, text: str, encoding: str) -> None:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(SavedError, match="No space left"):
        save_engine("pocket", tmp_path / "config.toml")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["engine = 3", "colour = 1", "engine = "])
def test_a_mistake_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(SavedError, match=r"config.toml: .*; correct it, or remove it"):
        read(path)
    with pytest.raises(SavedError):
        save_engine("pocket", path)
    assert path.read_text() == text
