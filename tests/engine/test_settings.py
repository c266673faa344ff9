"""Every setting refuses what it cannot be, by name, and the stream that it was meant for goes on."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from tests.engine.streaming import clip, frames_of, painted, settings_of, stream_of

from limner.engine.engine import Engine
from limner.engine.errors import EngineError, SettingsError
from limner.engine.types import LARGEST_SEED, PromptShare, StreamSettings

NUMBERS: dict[str, tuple[float, float]] = {
    "strength": (0, 1),
    "motion_smoothing": (0, 0.99),
    "motion_low": (0, 1),
    "motion_high": (1, 1.5),
    "motion_hysteresis": (0, 0.5),
    "steadiness": (0, 0.95),
}
WHOLE: dict[str, tuple[int, int]] = {
    "transition_frames": (0, 3600),
    "steps": (1, 4),
    "chunk_latents": (0, 4),
    "seed": (0, LARGEST_SEED),
    "motion_window": (1, 240),
    "revision": (0, 2**63 - 1),
}
SWITCHES = ("recache", "stream_batch", "motion_aware", "cuts")
OTHERS: dict[str, tuple[Any, ...]] = {
    "prompt": (None, 7, b"neon", ["neon"]),
    "mix": (None, "neon", ("neon",), [PromptShare(prompt="neon")], (PromptShare(prompt="neon"),) * 5),
    "size": ((320,), (320, 192, 3), [320, 192], (320.0, 192.0), (True, True), "320x192", 320),
}

BAD: list[tuple[str, Any]] = [
    *(
        (name, value)
        for name, (least, most) in NUMBERS.items()
        for value in (math.nan, math.inf, -math.inf, least - 0.001, most + 0.001, "half", None, True, 10**400)
    ),
    *(
        (name, value)
        for name, (least, most) in WHOLE.items()
        for value in (least - 1, most + 1, 1.5, math.nan, "2", None, True)
    ),
    *((name, value) for name in SWITCHES for value in (0, 1, None, "yes")),
    *((name, value) for name, values in OTHERS.items() for value in values),
]


def test_no_setting_is_left_out() -> None:
    assert {name for name, _ in BAD} == {field.name for field in dataclasses.fields(StreamSettings)}


@pytest.mark.parametrize(("name", "value"), BAD)
def test_bad_settings_are_named(name: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=rf"^{name} (is|has) "):
        settings_of(**{name: value})
    assert issubclass(SettingsError, (ValueError, EngineError))


@pytest.mark.parametrize(("name", "limits"), [*NUMBERS.items(), *WHOLE.items()])
def test_the_limits_themselves_are_fine(name: str, limits: tuple[float, float]) -> None:
    for value in limits:
        assert getattr(settings_of(**{name: value}), name) == value


@pytest.mark.parametrize("weight", [0, -1, 1001, math.nan, math.inf, "much", None, True])
def test_bad_weights_of_a_mix_are_named(weight: Any) -> None:
    with pytest.raises(SettingsError, match=r"^weight is "):
        PromptShare(prompt="neon", weight=weight)


def test_a_prompt_of_a_mix_must_be_text() -> None:
    with pytest.raises(SettingsError, match="prompt is None"):
        PromptShare(prompt=None)  # type: ignore[arg-type]  # what the test is about


ANY_TEXT = ("", " ", "zebra", "oil " * 3000, "🎨🖌️", "oil\0neon", "ÖL İ ﬀ", "\udcff", "x" * 10_000)


@pytest.mark.parametrize("prompt", ANY_TEXT)
def test_any_text_is_a_prompt_also_while_another_is_on_its_way(engine: Engine, prompt: str) -> None:
    """Words that the model does not know do nothing; there is no length that is too much."""
    stream = stream_of(engine)
    results = [stream.push(chunk) for chunk in clip(1)]
    for changes in ({"prompt": prompt}, {"mix": (PromptShare(prompt=prompt), PromptShare(prompt="warm"))}):
        stream.update(settings_of(transition_frames=12, **changes))
        results += [stream.push(chunk) for chunk in clip(2)]
    assert [result is not None and result.frames_TCHW.shape[0] for result in results] == [4] * 5


@pytest.mark.parametrize("changes", [{"chunk_latents": 4}, {"size": (7, 5)}, {"size": (0, 0)}])
def test_what_this_model_cannot_do_is_refused_and_the_stream_goes_on(
    engine: Engine, changes: dict[str, Any]
) -> None:
    chunks = clip(5)
    stream = stream_of(engine, steps=2)
    results = [stream.push(chunk) for chunk in chunks[:3]]
    with pytest.raises(EngineError, match=r"chunk_latents is 4|7x5|0x0"):
        stream.update(settings_of(steps=2, prompt="neon", **changes))
    assert stream.settings == settings_of(steps=2)
    results += [*(stream.push(chunk) for chunk in chunks[3:]), stream.flush()]
    got = frames_of([result for result in results if result is not None])
    assert torch.equal(got, frames_of(painted(stream_of(engine, steps=2), chunks)))
