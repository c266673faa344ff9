"""What a change makes of the settings."""

from __future__ import annotations

import pytest

from limner.daemon.protocol import Change, PromptShare, Settings
from limner.daemon.settings import resolve
from limner.daemon.styles import Style, Styles

MIXED = [PromptShare(prompt="oil painting", weight=2.0), PromptShare(prompt="neon")]
STYLES = Styles(
    [
        Style(name="noir", prompt="film noir", strength=0.7, steps=2),
        Style(name="blend", prompt="oil and neon", mix=MIXED, least_steps=2, steps=3, transition_ms=800),
    ]
)


def after(*changes: Change) -> Settings:
    settings = Settings()
    for change in changes:
        settings, _ = resolve(settings, change, STYLES)
    return settings


def test_both_know_the_same_settings() -> None:
    assert Change.__struct_fields__ == Settings.__struct_fields__


def test_a_mix_is_custom_and_reads_as_a_prompt() -> None:
    settings = after(Change(style="noir"), Change(mix=MIXED))
    assert (settings.style, settings.mix, settings.prompt) == ("custom", MIXED, "oil painting, neon")
    assert (settings.strength, settings.steps) == (0.7, 2)


@pytest.mark.parametrize(
    ("change", "style", "prompt"),
    [
        (Change(prompt="red sea"), "custom", "red sea"),
        (Change(style="noir"), "noir", "film noir"),
        (Change(mix=[]), "custom", "oil painting, neon"),
    ],
)
def test_a_later_prompt_or_style_ends_a_mix(change: Change, style: str, prompt: str) -> None:
    settings = after(Change(mix=MIXED), change)
    assert (settings.style, settings.mix, settings.prompt) == (style, [], prompt)


def test_a_filter_that_comes_back_does_not_end_a_mix() -> None:
    settings = after(Change(mix=MIXED), Change(style="custom", prompt="oil painting, neon", strength=0.9))
    assert (settings.mix, settings.strength) == (MIXED, 0.9)
    settings = after(Change(style="blend", prompt="oil and neon"))
    assert (settings.style, settings.mix) == ("blend", MIXED)


def test_a_change_of_something_else_leaves_a_mix_alone() -> None:
    assert after(Change(mix=MIXED), Change(strength=0.1, seed=4)).mix == MIXED


def test_a_mix_wins_over_a_prompt_and_a_style() -> None:
    settings = after(Change(style="noir", prompt="red", mix=MIXED))
    assert (settings.style, settings.mix, settings.strength) == ("custom", MIXED, 0.7)


def test_a_style_may_have_a_mix_and_more() -> None:
    settings = after(Change(style="blend"))
    assert (settings.style, settings.prompt, settings.mix) == ("blend", "oil and neon", MIXED)
    assert (settings.least_steps, settings.transition_ms) == (2, 800)
    # A style that says nothing of the transition leaves it as it was.
    assert after(Change(transition_ms=50), Change(style="noir")).transition_ms == 50


def test_least_steps_are_not_above_steps() -> None:
    settings, notes = resolve(Settings(steps=2), Change(least_steps=4, prompt="sea"), STYLES)
    assert (settings.steps, settings.least_steps) == (2, 2)
    assert notes == ["least steps 4 is more than 2 steps: 2 it is"]
    settings, notes = resolve(Settings(steps=4, least_steps=3, prompt="sea"), Change(steps=1), STYLES)
    assert (settings.steps, settings.least_steps) == (1, 1)
    assert notes == ["least steps 3 is more than 1 step: 1 it is"]


def test_an_empty_prompt_is_no_fault_but_is_said() -> None:
    settings, notes = resolve(Settings(prompt="sea"), Change(prompt=" "), STYLES)
    assert settings.prompt == " "
    assert notes == ["the prompt is empty: the model paints without words"]
    assert resolve(Settings(), Change(mix=MIXED), STYLES)[1] == []
    assert resolve(Settings(), Change(mix=[PromptShare(prompt="")]), STYLES)[1] == notes
