"""Plugin, command and scene: put in place without harm to what is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from limner.installer import desktop, plugin, ready_scene
from limner.installer.command import CommandError, link_command, run_limner

CMAKE = """
cmake_minimum_required(VERSION 3.16)
project(fake NONE)
install(FILES limner.so DESTINATION limner/bin/64bit)
install(FILES en-US.ini DESTINATION limner/data/locale)
"""


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A project that installs like the plugin does, built in a folder with a space."""
    source = tmp_path / "a source"
    source.mkdir()
    (source / "CMakeLists.txt").write_text(CMAKE)
    (source / "limner.so").write_text("library")
    (source / "en-US.ini").write_text("")
    plugin.build(source, tmp_path / "a build")
    return tmp_path / "a build"


def test_installs_the_plugin_and_names_the_command(built: Path, tmp_path: Path) -> None:
    obs_dir, command = tmp_path / "obs studio", tmp_path / "en v" / "limner"
    for _ in range(2):
        target = plugin.install(built, obs_dir, command)
        assert (target / "bin" / "64bit" / "limner.so").read_text() == "library"
        assert (target / "data" / "limner-command").read_text() == f"{command}\n"
        assert [p.name for p in (obs_dir / "plugins").iterdir()] == ["limner"]


def test_a_build_that_fails_says_why(tmp_path: Path) -> None:
    (tmp_path / "CMakeLists.txt").write_text("message(FATAL_ERROR no-libobs-here)")
    with pytest.raises(plugin.PluginError, match="no-libobs-here"):
        plugin.build(tmp_path, tmp_path / "build")


def test_obs_folder_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert plugin.user_obs_dir() == tmp_path / "obs-studio"


def test_link_is_made_moved_and_kept(tmp_path: Path) -> None:
    first, second = tmp_path / "one" / "limner", tmp_path / "two" / "limner"
    folder = tmp_path / "bin"
    link = link_command(first, folder)
    assert link.readlink() == first
    assert link_command(second, folder).readlink() == second
    assert link_command(second, folder) == link


def test_a_strangers_file_stays(tmp_path: Path) -> None:
    (tmp_path / "limner").write_text("not ours")
    assert link_command(tmp_path / "env" / "limner", tmp_path) == tmp_path / "env" / "limner"
    assert (tmp_path / "limner").read_text() == "not ours"


def test_a_failing_command_is_quoted(tmp_path: Path) -> None:
    script = tmp_path / "limner"
    script.write_text("#!/bin/sh\necho 'no such style' >&2\nexit 2\n")
    script.chmod(0o755)
    with pytest.raises(CommandError, match="limner set --style x: no such style"):
        run_limner(script, "set", "--style", "x")
    with pytest.raises(CommandError, match="is missing; run: bash"):
        run_limner(tmp_path / "missing", "status")


def test_the_camera_is_the_first_capture_device_that_exists(tmp_path: Path) -> None:
    devices, dev = tmp_path / "sys", tmp_path / "dev"
    dev.mkdir()
    for name, index, exists in (("video0", "0", False), ("video1", "1", True), ("video2", "0", True)):
        (devices / name).mkdir(parents=True)
        (devices / name / "index").write_text(f"{index}\n")
        if exists:
            (dev / name).touch()
    assert ready_scene.find_camera(devices, dev) == dev / "video2"
    assert ready_scene.find_camera(tmp_path / "none", dev) is None


def test_the_users_obs_settings_survive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = tmp_path / "clip.mp4"
    monkeypatch.setattr(ready_scene, "stand_in_clip", lambda _root: clip)
    monkeypatch.setattr(ready_scene, "find_camera", lambda: None)
    obs_dir = tmp_path / "obs-studio"
    obs_dir.mkdir()
    (obs_dir / "global.ini").write_text("mine")
    assert len(desktop.write_ready_scene(tmp_path, obs_dir)) == 2
    scene = obs_dir / "basic" / "scenes" / "Limner.json"
    assert str(clip) in scene.read_text()
    scene.write_text("changed by the user")
    assert desktop.write_ready_scene(tmp_path, obs_dir) == []
    assert scene.read_text() == "changed by the user"
    assert (obs_dir / "global.ini").read_text() == "mine"


def test_a_first_obs_opens_without_its_wizard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready_scene, "stand_in_clip", lambda _root: tmp_path / "clip.mp4")
    desktop.write_ready_scene(tmp_path, tmp_path / "obs-studio")
    assert "FirstRun=true" in (tmp_path / "obs-studio" / "global.ini").read_text()


def test_only_an_obs_with_the_same_settings_counts_as_running(tmp_path: Path) -> None:
    for pid, name, environment in (
        (1, "bash", b"HOME=/home/me\0"),
        (22, "obs", b"HOME=/home/other\0XDG_CONFIG_HOME=\0"),
        (33, "obs", b"HOME=/home/x\0XDG_CONFIG_HOME=/home/y/conf\0"),
    ):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "comm").write_text(f"{name}\n")
        (tmp_path / str(pid) / "environ").write_bytes(environment)
    assert desktop.obs_is_running(Path("/home/other/.config/obs-studio"), tmp_path)
    assert desktop.obs_is_running(Path("/home/y/conf/obs-studio"), tmp_path)
    assert not desktop.obs_is_running(Path("/home/me/.config/obs-studio"), tmp_path)
