"""Every worker hears which prompts are likely: those of the styles, as they are now."""

from __future__ import annotations

from pathlib import Path

from tests.daemon.room import Room

from limner.daemon import worker_protocol as w
from limner.daemon.protocol import PromptShare
from limner.daemon.style_file import load, parse
from limner.daemon.styles import Style, Styles
from limner.daemon.wire import encode


def test_each_worker_hears_the_prompts_of_the_styles_when_it_is_ready() -> None:
    room = Room("limner-test-prepare-")
    assert room.told(w.Prepare) == []
    prompts = list(dict.fromkeys(load().prompts))
    for _ in range(2):
        room.ready_worker()
        (likely,) = room.told(w.Prepare)
        assert likely.prompts == prompts and len(prompts) > 5
        room.hub.painting.worker_ended("gone", failed=False)


def test_changed_styles_are_told_at_once_or_to_the_next_worker() -> None:
    room = Room("limner-test-prepare-")
    text = '[[styles]]\nname = "mine"\nprompt = "a prompt of mine"\n'
    new, _ = parse(text, Path("styles.toml"), load())
    room.hub.styles_changed(new, "")
    assert room.told(w.Prepare) == []
    room.ready_worker()
    assert "a prompt of mine" in room.told(w.Prepare)[0].prompts
    room.hub.styles_changed(load(), "")
    assert "a prompt of mine" not in room.told(w.Prepare)[0].prompts
    room.hub.styles_changed(load(), "")
    assert room.told(w.Prepare) == [], "they are as they were"


def test_of_a_mix_each_prompt_is_likely() -> None:
    mix = [PromptShare(prompt="oil"), PromptShare(prompt="neon", weight=2.0)]
    styles = Styles([Style(name="a", prompt="said in words", mix=mix), Style(name="b", prompt="fog")])
    assert styles.prompts == ["oil", "neon", "fog"]


def test_prompts_of_rules_are_likely_too_as_far_as_a_message_holds() -> None:
    room = Room("limner-test-prepare-")
    room.ready_worker()
    room.told(w.Prepare)
    room.hub.styles_changed(load(), "", ["fog over the sea"])
    assert room.told(w.Prepare)[0].prompts == [*dict.fromkeys(load().prompts), "fog over the sea"]
    long = [f"{number} {'ä' * 990}" for number in range(200)]
    room.hub.styles_changed(load(), "", long)
    (likely,) = room.told(w.Prepare)
    assert w.from_daemon.decode(encode(likely)) == likely
    assert 20 < len(likely.prompts) < 100
