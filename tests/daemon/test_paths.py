"""Where the daemon lives, and every way in which that can be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from limner.daemon import paths
from limner.daemon.paths import PathError


def test_the_environment_chooses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("LIMNER_RUNTIME_DIR", raising=False)
    assert paths.runtime_dir() == tmp_path / "limner"
    monkeypatch.setenv("LIMNER_RUNTIME_DIR", str(tmp_path / "own"))
    assert paths.runtime_dir() == tmp_path / "own"


def test_a_folder_is_made_private(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    paths.ensure_private_dir(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    paths.ensure_private_dir(folder)


def test_an_open_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o755)
    with pytest.raises(PathError, match=r"chmod 700"):
        paths.ensure_private_dir(folder)


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(PathError, match=str(file)):
        paths.ensure_private_dir(file)
    with pytest.raises(PathError, match="LIMNER_RUNTIME_DIR"):
        paths.ensure_private_dir(file / "below")


def test_a_link_in_its_place_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir(mode=0o700)
    link = tmp_path / "link"
    link.symlink_to(target)
    with pytest.raises(PathError, match="not a folder of this user"):
        paths.ensure_private_dir(link)


def test_a_folder_that_cannot_be_made_is_named() -> None:
    # Even root may not make a folder there.
    with pytest.raises(PathError, match=r"cannot use /proc/limner.*LIMNER_RUNTIME_DIR"):
        paths.ensure_private_dir(Path("/proc/limner"))


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PathError, match="too long"):
        paths.endpoint("daemon.sock", tmp_path / ("x" * 100))
    assert paths.endpoint("daemon.sock", Path("/run/limner")) == "ipc:///run/limner/daemon.sock"


def test_each_folder_has_segments_of_its_own(tmp_path: Path) -> None:
    one, two = paths.segment_prefix(tmp_path / "one"), paths.segment_prefix(tmp_path / "two")
    assert one != two
    assert one.startswith("limner-")
    assert one == paths.segment_prefix(tmp_path / "one")
