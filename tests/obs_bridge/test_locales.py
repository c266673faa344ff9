"""Every language has all words, and nothing of the plugin is without words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PLUGIN = Path(__file__).resolve().parents[2] / "obs_bridge" / "plugin"
LOCALES = PLUGIN / "data" / "locale"
LINE = re.compile(r'(\w+)="([^"]+)"')
FORMAT = re.compile(r"%[-+ #0-9.]*(?:ll|l|z)?[a-zA-Z%]")
# The same word in both languages.
SAME = {"Style", "Transition", "Mode", "Mix", "Prompt"}


def words_of(name: str) -> dict[str, str]:
    words: dict[str, str] = {}
    for line in (LOCALES / f"{name}.ini").read_text(encoding="utf-8").splitlines():
        found = LINE.fullmatch(line)
        assert found, f'{name}.ini: {line!r} is no KEY="words"'
        assert found[1] not in words, f"{name}.ini has {found[1]} twice"
        words[found[1]] = found[2]
    return words


ENGLISH = words_of("en-US")
OTHERS = sorted(path.stem for path in LOCALES.glob("*.ini") if path.stem != "en-US")


def test_there_are_five_languages_at_least() -> None:
    assert len(OTHERS) >= 4


@pytest.mark.parametrize("name", OTHERS)
def test_a_language_is_complete_and_translated(name: str) -> None:
    words = words_of(name)
    assert list(words) == list(ENGLISH), set(words) ^ set(ENGLISH)
    untranslated = {key for key in words if words[key] == ENGLISH[key]} - SAME
    assert not untranslated


@pytest.mark.parametrize("name", OTHERS)
def test_formats_take_what_the_plugin_gives(name: str) -> None:
    words = words_of(name)
    for key, english in ENGLISH.items():
        assert FORMAT.findall(words[key]) == FORMAT.findall(english), key


def test_the_plugin_uses_these_words_and_no_others() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in (PLUGIN / "src").glob("*.c"))
    texts = set(re.findall(r'"([A-Z][A-Za-z]+)"', source))
    used = texts & set(ENGLISH)
    # Sliders have a hint under the name of their words.
    used |= {f"{key}Hint" for key in texts if f"{key}Hint" in ENGLISH}
    assert set(ENGLISH) - used == set()
    asked = set(re.findall(r'(?:T_|obs_module_text)\("(\w+)"\)', source))
    assert asked - set(ENGLISH) == set()
