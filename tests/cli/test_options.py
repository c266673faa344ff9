"""What the options of the command line mean, and how settings are said."""

from __future__ import annotations

import inspect
from typing import Any, get_type_hints

import msgspec
import pytest
import typer

from limner.cli import options
from limner.cli.options import change_from
from limner.cli.set_cmd import set_settings
from limner.cli.words import _SAID_WHEN_CHANGED, changed, describe, in_force
from limner.daemon.protocol import Change, Lora, Plan, PromptShare, Settings


def test_every_setting_has_an_option() -> None:
    assert set(inspect.signature(set_settings).parameters) == {
        *Change.__struct_fields__,
        "session",
        "as_json",
    }


def test_the_ranges_in_the_help_are_the_schemas() -> None:
    schema: dict[str, Any] = msgspec.json.schema(Settings)["$defs"]["Settings"]["properties"]
    ranges = {}
    for name, hint in get_type_hints(set_settings, include_extras=True).items():
        for info in getattr(hint, "__metadata__", ()):
            if ".." in (info.metavar or ""):
                ranges[name] = [float(bound) for bound in info.metavar.split("..")]
    assert ranges == {
        name: [field["minimum"], field["maximum"]] for name, field in schema.items() if "minimum" in field
    }
    assert len(ranges) > 8


def test_a_mix_is_words_and_weights() -> None:
    change = change_from(mix=["oil painting=2", "neon", "a = b=0.5"])
    assert change.mix == [
        PromptShare(prompt="oil painting", weight=2.0),
        PromptShare(prompt="neon", weight=1.0),
        PromptShare(prompt="a = b", weight=0.5),
    ]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"mix": ["neon=lots"]}, "--mix is 'neon=lots'; after = comes the weight, a number above 0"),
        ({"mix": ["neon=0"]}, "--mix[0].weight is 0.0; it must be a number above 0, at most 1000"),
        ({"mix": ["neon=nan"]}, "--mix[0].weight is nan"),
        ({"mix": ["a", "b", "c", "d", "e"]}, "--mix has 5 entries; it must be a list of at most 4"),
        ({"mix": ["a"], "prompt": "b"}, "--mix is painted instead of --prompt: give one of them"),
        ({"lora": ["film=lots"]}, "--lora is 'film=lots'; after = comes the weight, a number"),
        ({"lora": ["film=11"]}, "--lora[0].weight is 11.0; it must be a number from -10 to 10"),
        ({"lora": ["x"] * 9}, "--lora has 9 entries; it must be a list of at most 8"),
        ({"steps": 9}, "--steps is 9; it must be a whole number from 1 to 4"),
        ({"strength": float("nan")}, "--strength is nan; it must be a number from 0 to 1"),
        ({"least_steps": 0}, "--least-steps is 0; it must be a whole number from 1 to 4"),
        ({"mode": "fast"}, "--mode is 'fast'; it must be one of auto, throughput, latency"),
        ({"motion_high": 2.0}, "--motion-high is 2.0; it must be a number from 1 to 1.5"),
        ({"prompt": "x" * 10_000}, "--prompt has 10000 characters; it must be text of at most 1000"),
        ({"prompt": "a\0b"}, "without NUL"),
        ({"prompt": b"caf\xe9".decode(errors="surrogateescape")}, "no UTF-8 text"),
    ],
)
def test_what_makes_no_sense_is_named(given: dict[str, Any], words: str) -> None:
    with pytest.raises(typer.BadParameter) as caught:
        change_from(**given)
    assert words in str(caught.value)


def test_loras_are_names_and_weights_and_none_takes_them_away() -> None:
    loras = [Lora(name="film", weight=0.8), Lora(name="a=b", weight=-1), Lora(name="ink")]
    assert change_from(lora=["film=0.8", "a=b=-1", "ink"]).lora == loras
    assert change_from(lora=["none"]).lora == []
    assert change_from(lora=None) == change_from(lora=[]) == Change()
    assert changed(Settings(lora=loras[:1])) == ["LoRA film (0.8)"]


def test_what_is_left_out_stays_as_it_is() -> None:
    assert change_from(style=None, mix=None, strength=None) == Change()
    assert change_from(mix=[], prompt="🎨 sea") == Change(prompt="🎨 sea")


def test_settings_are_said_where_they_are_not_as_at_first() -> None:
    always = {"style", "prompt", "mix", "strength", "steps", "seed"}
    assert set(Settings.__struct_fields__) == {*always, *_SAID_WHEN_CHANGED}
    assert changed(Settings()) == []
    said = describe(
        Settings(style="noir", prompt="film noir", steps=2, least_steps=2, transition_ms=800, cuts=False)
    )
    assert said == (
        "noir ('film noir'), strength 0.5, 2 steps, seed 0, at least 2 of them, "
        "changes of words take 800 ms, cuts go unnoticed"
    )


def test_a_mix_is_said_in_shares() -> None:
    mix = [PromptShare(prompt="oil", weight=3), PromptShare(prompt="neon")]
    assert describe(Settings(style="custom", mix=mix)).startswith("mix of 'oil' 75 %, 'neon' 25 %, strength")
    assert describe(Settings(style="blend", mix=mix)).startswith("blend, strength")


def test_a_plan_is_said_in_words() -> None:
    plan = Plan(steps=1, mode="latency", chunk=1, width=256, height=144, frame_step=1, reduced=False)
    assert in_force(plan) == "1 step, 256×144"
    plan = Plan(steps=2, mode="latency", chunk=4, width=320, height=176, frame_step=2, reduced=True)
    assert in_force(plan) == "2 steps, 320×176, mode latency, 4 latent frames at a time, one frame of 2"


def test_options_are_in_a_section_each() -> None:
    sections = {options.LOOK, options.SPEED, options.MOTION, None}
    hints = get_type_hints(set_settings, include_extras=True)
    found = {info.rich_help_panel for hint in hints.values() for info in getattr(hint, "__metadata__", ())}
    assert found == sections
