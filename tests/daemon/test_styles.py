"""Styles and how a change to the settings is understood."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from limner.daemon.protocol import Change, Settings
from limner.daemon.settings import resolve
from limner.daemon.style_file import StylesError, load
from limner.daemon.styles import CUSTOM, Style, Styles, UnknownStyleError
from limner.worker.model_source import CONFIG

STYLES = Styles(
    [
        Style(name="Noir", prompt="noir, hard light", strength=0.7, steps=2),
        Style(name="neon", prompt="neon", strength=0.4),
    ]
)


def changed(settings: Settings, **fields: object) -> Settings:
    return resolve(settings, Change(**fields), STYLES)[0]  # type: ignore[arg-type]


def test_a_style_brings_prompt_strength_and_steps() -> None:
    settings = changed(Settings(seed=5), style="noir")
    assert settings == Settings(style="Noir", prompt="noir, hard light", strength=0.7, steps=2, seed=5)


def test_what_the_change_says_itself_wins_over_the_style() -> None:
    settings = changed(Settings(), style="noir", strength=0.2, prompt="fog")
    assert settings == Settings(style="Noir", prompt="fog", strength=0.2, steps=2)


def test_a_prompt_without_a_style_is_custom_and_keeps_the_rest() -> None:
    settings = changed(changed(Settings(), style="noir"), prompt="fog")
    assert settings == Settings(style=CUSTOM, prompt="fog", strength=0.7, steps=2)


def test_the_same_prompt_again_keeps_the_style() -> None:
    before = changed(Settings(), style="noir")
    assert changed(before, prompt=before.prompt, strength=0.1).style == "Noir"


@pytest.mark.parametrize("name", ["", "custom", "CUSTOM "])
def test_custom_keeps_the_prompt(name: str) -> None:
    before = changed(Settings(), style="neon")
    assert changed(before, style=name) == changed(before, style=name, prompt="neon")
    assert changed(before, style=name).prompt == "neon"


def test_an_unknown_style_suggests_the_nearest_and_lists_all() -> None:
    with pytest.raises(UnknownStyleError, match=r"'nior'; did you mean 'Noir'\? there are: Noir, neon"):
        changed(Settings(), style="nior")
    with pytest.raises(UnknownStyleError, match=r"'xyz'; there are"):
        changed(Settings(), style="xyz")


def test_notes_say_what_may_surprise() -> None:
    assert "prompt is empty" in resolve(Settings(), Change(), STYLES)[1][0]
    assert "strength 0" in resolve(Settings(prompt="x"), Change(strength=0), STYLES)[1][0]
    assert resolve(Settings(prompt="x"), Change(), STYLES)[1] == []


def test_the_built_in_styles_load() -> None:
    styles = load()
    assert len(styles.names) >= 4
    assert len(set(styles.names)) == len(styles.names)


def test_pocket_knows_a_word_of_every_built_in_prompt() -> None:
    table = tomllib.loads(CONFIG.read_text(encoding="utf-8"))
    known = set(table["text"]["words"])
    for style in load():
        assert known & set(re.findall(r"\w+", style.prompt.casefold())), style


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[styles]\n", "line 1"),
        ('[[styles]]\nname = "a"\n', "prompt"),
        ('[[styles]]\nname = "a"\nprompt = "b"\n[[styles]]\nname="c"\nprompt="d"\nsteps = 9\n', "line 7"),
        ('[[styles]]\nname = "a"\nprompt = "b"\nstrenght = 1\n', "strenght"),
        ('[[styles]]\nname = "a"\nprompt = "b"\nstrength = 1.5\n', "strength"),
        ('[[styles]]\nname = ""\nprompt = "b"\n', "name"),
        ('[[styles]]\nname = "a"\nprompt = "b"\n[[styles]]\nname="A"\nprompt="d"\n', "twice"),
        ('[[styles]]\nname = "Custom"\nprompt = "b"\n', "taken"),
        ("x = 1\n", "x"),
    ],
)
def test_a_bad_file_names_itself_and_the_place(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "styles.toml"
    file.write_text(text)
    with pytest.raises(StylesError, match=words) as caught:
        load(file)
    assert str(file) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StylesError, match="nowhere"):
        load(tmp_path / "nowhere.toml")
