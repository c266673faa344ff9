"""What is written for OBS."""

from __future__ import annotations

import configparser
import json
from pathlib import Path

import pytest

from limner.installer import obs_config
from limner.installer.obs_config import Filter, Item, Profile, Scene, Source, WebSocket

CAMERA = Source(id="v4l2_input", name="Camera", filters=(Filter(id="limner_filter", name="Limner"),))
FULL = Item(source="Camera", x=0, y=0, width=640, height=360)


def read_ini(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text)
    return parser


def test_collection_carries_sources_filters_and_scenes() -> None:
    made = obs_config.scene_collection("Mine", (CAMERA,), (Scene(name="A", items=(FULL,)),))
    assert made["name"] == "Mine"
    assert made["current_scene"] == made["current_program_scene"] == "A"
    source, scene = made["sources"]
    assert [f["id"] for f in source["filters"]] == ["limner_filter"]
    assert scene["id"] == "scene"
    [item] = scene["settings"]["items"]
    assert item["name"] == "Camera"
    assert item["bounds"] == {"x": 640, "y": 360}


def test_scripts_are_loaded() -> None:
    made = obs_config.scene_collection("Mine", (), (Scene(name="A", items=()),), (Path("/x/y.lua"),))
    assert made["modules"] == {"scripts-tool": [{"path": "/x/y.lua", "settings": {}}]}


def test_a_scene_that_shows_nothing_known_is_refused() -> None:
    with pytest.raises(ValueError, match="'Camera', which does not exist"):
        obs_config.scene_collection("Mine", (), (Scene(name="A", items=(FULL,)),))


def test_names_must_be_unique() -> None:
    with pytest.raises(ValueError, match="share a name"):
        obs_config.scene_collection("Mine", (CAMERA,), (Scene(name="Camera", items=()),))


def test_private_config_is_complete(tmp_path: Path) -> None:
    profile = Profile(name="P", width=640, height=360, fps=30, recordings=tmp_path / "with space")
    collection = obs_config.scene_collection("C", (CAMERA,), (Scene(name="A", items=(FULL,)),))
    obs_config.write_private_config(
        tmp_path / "obs-studio", profile, collection, websocket=WebSocket(port=4999, password="secret")
    )
    basic = read_ini((tmp_path / "obs-studio/basic/profiles/P/basic.ini").read_text())
    assert basic["Video"]["BaseCX"] == "640"
    assert basic["Video"]["FPSInt"] == "30"
    assert basic["SimpleOutput"]["FilePath"] == str(tmp_path / "with space")
    settings = read_ini((tmp_path / "obs-studio/global.ini").read_text())
    assert settings["Basic"]["SceneCollection"] == "C"
    assert settings["BasicWindow"]["PreviewEnabled"] == "false"
    assert settings["OBSWebSocket"]["ServerPort"] == "4999"
    server = json.loads((tmp_path / "obs-studio/plugin_config/obs-websocket/config.json").read_text())
    assert server["server_password"] == "secret"
    assert (tmp_path / "with space").is_dir()


def test_without_websocket_no_server_runs() -> None:
    settings = read_ini(obs_config.global_ini("P", "C", websocket=None, preview=True))
    assert settings["OBSWebSocket"]["ServerEnabled"] == "false"
