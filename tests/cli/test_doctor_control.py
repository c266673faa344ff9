"""What the doctor says of the user's styles and rules, and of the way to OBS."""

from __future__ import annotations

from pathlib import Path

import pytest

from limner.cli.doctor.control import check_choices, check_control
from limner.cli.style_desk import in_the_box
from limner.daemon.saved import Saved
from limner.installer import obs_config
from limner.models.plan_choice import Wishes

RULE = '[[rules]]\nscene = "A"\nstyle = "neon"\n'


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", "")
    monkeypatch.setenv("LIMNER_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("LIMNER_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path


def test_what_keeps_a_daemon_from_starting_stands_in_the_way(home: Path) -> None:
    assert check_choices()[1].state == "ok"
    file = home / "config.toml"
    file.write_text('engine = "wan-1.3b"\n[memory]\nsteps = 2\n')
    saved, finding = check_choices()
    assert saved == Saved(engine="wan-1.3b", memory=Wishes(steps=2))
    assert finding.state == "ok" and finding.text == f"{file}: engine wan-1.3b, steps 2"
    for text in ('engin = "pocket"', 'engine = "no-such-model"', "engine = "):
        file.write_text(text)
        saved, finding = check_choices()
        assert saved == Saved()
        assert finding.state == "blocked" and finding.text.startswith(f"{file}: ")


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


def test_a_rule_for_a_style_that_is_not_there_is_named(home: Path) -> None:
    (home / "styles.toml").write_text(RULE.replace("neon", "neno"))
    (only,) = check_control()
    assert only.state == "warning" and "rule 1: there is no style 'neno'; did you mean 'neon'?" in only.text


def test_styles_are_those_of_the_chosen_model(home: Path) -> None:
    in_the_box.cache_clear()
    pocket = in_the_box()
    (home / "config.toml").write_text('engine = "wan-1.3b"')
    in_the_box.cache_clear()
    assert "visible brush strokes" in in_the_box().find("oil painting").prompt
    assert "visible brush strokes" not in pocket.find("oil painting").prompt
    in_the_box.cache_clear()


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
