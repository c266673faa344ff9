"""Every language has all words, and nothing of the plugin is without words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from limner.daemon.sayings import TEMPLATES

PLUGIN = Path(__file__).resolve().parents[2] / "obs_bridge" / "plugin"
LOCALES = PLUGIN / "data" / "locale"
LINE = re.compile(r'(\w+)="([^"]+)"')
PLACE = re.compile(r"\{\w+\}")
# What the daemon says, by its code; why it would not have the filter, by the code of its error;
# why it could not be started.
SAYING, REFUSAL, LAUNCH = "Say_", "Refused_", "Launch_"
# What only a technician would miss: which part of a model is being loaded, a number in words besides it.
MAY_BE_LEFT_OUT = {"{part}", "{which}"}
# The same word in both languages.
SAME = {"Style", "Transition", "Mode", "Mix", "Prompt", "Change"}


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
def test_the_same_places_are_filled(name: str) -> None:
    words = words_of(name)
    for key, english in ENGLISH.items():
        places, wanted = set(PLACE.findall(words[key])), set(PLACE.findall(english))
        assert wanted - MAY_BE_LEFT_OUT <= places <= wanted, key


def test_english_is_what_the_daemon_says() -> None:
    said = {key.removeprefix(SAYING): text for key, text in ENGLISH.items() if key.startswith(SAYING)}
    assert said == TEMPLATES


def test_no_words_are_formats_of_c() -> None:
    for name in ("en-US", *OTHERS):
        for key, text in words_of(name).items():
            assert not re.search(r"%[-+#0-9.]*(?:ll|l|z)?[a-zA-Z]", text), (name, key)


def test_the_plugin_uses_these_words_and_no_others() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in (PLUGIN / "src").glob("*.c"))
    texts = set(re.findall(r'"([A-Z][A-Za-z]+)"', source))
    used = texts & set(ENGLISH)
    # Sliders have a hint under the name of their words.
    used |= {f"{key}Hint" for key in texts if f"{key}Hint" in ENGLISH}
    unused = set(ENGLISH) - used
    assert {key for key in unused if not key.startswith((SAYING, REFUSAL, LAUNCH))} == set()
    launches = {key.removeprefix(LAUNCH) for key in ENGLISH if key.startswith(LAUNCH)}
    assert launches == set(re.findall(r'"(\w+)"', "".join(re.findall(r"fault_code = [^;]*;", source))))
    for prefix in (SAYING, REFUSAL, LAUNCH):
        assert f'"{prefix}%' in source, "made of it and a code"
    asked = set(re.findall(r'(?:T_|obs_module_text)\("(\w+)"\)', source))
    assert asked - set(ENGLISH) == set()
