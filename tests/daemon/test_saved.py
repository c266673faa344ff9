"""The user's choices for every daemon."""

from __future__ import annotations

from pathlib import Path

import pytest

from limner.daemon.saved import Saved, SavedError, read, save_engine


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


@pytest.mark.parametrize("text", ["engine = 3", "colour = 1", "engine = "])
def test_a_mistake_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(SavedError, match=r"config.toml: .*; correct it, or remove it"):
        read(path)
    with pytest.raises(SavedError):
        save_engine("pocket", path)
    assert path.read_text() == text
