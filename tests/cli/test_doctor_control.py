"""What the doctor says of the user's styles and rules, and of the way to OBS."""

from __future__ import annotations

from pathlib import Path

import pytest

from limner.cli.doctor.control import check_control
from limner.installer import obs_config

RULE = '[[rules]]\nscene = "A"\nstyle = "neon"\n'


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", "")
    monkeypatch.setenv("LIMNER_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("LIMNER_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path


def test_without_a_file_and_without_rules_obs_is_nobodys_concern(home: Path) -> None:
    (only,) = check_control()
    assert only.state == "ok" and "none" in only.text
    (home / "styles.toml").write_text('[[styles]]\nname = "mine"\nprompt = "x"\n')
    (only,) = check_control()
    assert only.state == "ok" and only.text.endswith("styles.toml: 1 style, 0 rules")


def test_a_mistake_is_named_with_its_line(home: Path) -> None:
    (home / "styles.toml").write_text(RULE + "strength = 3\n")
    (only,) = check_control()
    assert only.state == "warning" and "line 4: rules[0].strength is 3" in only.text


def test_rules_need_a_way_to_obs(home: Path) -> None:
    (home / "styles.toml").write_text(RULE)
    way = check_control()[1]
    assert way.state == "warning" and "no configuration of OBS" in way.text
    folder = home / ".config" / "obs-studio" / "plugin_config" / "obs-websocket"
    folder.mkdir(parents=True)
    server = obs_config.WebSocket(port=4477, password="secret")
    (folder / "config.json").write_text(obs_config.websocket_json(server))
    way = check_control()[1]
    assert way.state == "ok" and "127.0.0.1:4477" in way.text and "secret" not in way.text
