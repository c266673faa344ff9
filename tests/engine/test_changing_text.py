"""Prompts that change while a stream runs: evenly, exactly, and with no more work than it takes."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from tests.engine.streaming import clip, frames_of, numbers_of, painted, settings_of, stream_of
from tests.engine.tiny import tiny_engine

from limner.engine.dit.context import TextContext
from limner.engine.dit.model import CausalDiT
from limner.engine.engine import Engine
from limner.engine.types import NoisedChunk, PromptShare, StreamSettings

NEON = PromptShare(prompt="neon")
WARM_OIL = PromptShare(prompt="warm oil", weight=2.0)


def encoded(stream_settings: list[StreamSettings], engine: Engine) -> list[NoisedChunk]:
    """A chunk for each of these settings, one after another, as the first stage gives it."""
    stream = stream_of(engine)
    chunks = []
    for settings, frames in zip(stream_settings, clip(len(stream_settings)), strict=True):
        stream.update(settings)
        chunks.append(stream.encode(frames))
    return chunks


def text_of(engine: Engine, **changes: Any) -> TextContext:
    """That of a fresh stream."""
    return encoded([settings_of(**changes)], engine)[0].text


def apart(a: TextContext, b: TextContext) -> float:
    """Distance of what a typical query would read of two texts."""
    torch.manual_seed(0)
    queries = torch.randn(1, 32, *a.keys[0].shape[2:])
    return float(sum((a.attend(i, queries) - b.attend(i, queries)).norm() for i in range(len(a.keys))))


def equal(a: TextContext, b: TextContext) -> bool:
    tensors = [(*text.keys, *text.values) for text in (a, b)]
    return a.mask is None and b.mask is None and all(map(torch.equal, *tensors))


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize(("transition_frames", "contexts"), [(0, 1), (4, 1), (12, 3), (14, 4)])
def test_the_text_is_made_once_a_change_and_once_a_chunk_on_the_way(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, steps: int, transition_frames: int, contexts: int
) -> None:
    made, make = [], CausalDiT.text_context

    def counted(*given: Any) -> TextContext:
        made.append(context := make(*given))
        return context

    monkeypatch.setattr(CausalDiT, "text_context", counted)
    stream, chunks = stream_of(engine, steps=steps), clip(10)
    for chunk in chunks[:3]:
        stream.push(chunk)
    assert len(made) == 1
    for chunk in chunks[3:]:
        stream.update(
            settings_of(prompt="neon", steps=steps, transition_frames=transition_frames, strength=0.7)
        )
        stream.push(chunk)
    stream.reset()
    stream.push(chunks[0])
    assert len(made) == 1 + contexts


@pytest.mark.parametrize("changes", [{"prompt": "neon"}, {"prompt": "warm neon"}, {"mix": (NEON,)}])
def test_comes_nearer_with_every_chunk_and_ends_bit_by_bit_at_the_target(
    engine: Engine, changes: dict[str, Any]
) -> None:
    target = text_of(engine, **changes)
    later = settings_of(transition_frames=32, **changes)
    texts = [chunk.text for chunk in encoded([settings_of(), *[later] * 9], engine)]
    left = [apart(text, target) for text in texts]
    assert all(b < a for a, b in itertools.pairwise(left[:9])), left
    assert equal(texts[8], target) and texts[9] is texts[8]


def test_turns_towards_a_newer_prompt_without_a_jump(engine: Engine) -> None:
    first = settings_of(prompt="neon", transition_frames=40)
    second = settings_of(prompt="warm", transition_frames=40)
    texts = [chunk.text for chunk in encoded([settings_of(), *[first] * 5, *[second] * 10], engine)]
    steps = [apart(a, b) for a, b in itertools.pairwise(texts)]
    assert max(steps) < 2 * sum(steps) / len(steps), steps
    assert equal(texts[-1], text_of(engine, prompt="warm"))


def test_mixes_follow_their_weights(engine: Engine) -> None:
    neon = text_of(engine, prompt="neon")
    assert equal(text_of(engine, prompt="ignored", mix=(NEON,)), neon)

    def mix(weight: float) -> TextContext:
        return text_of(engine, mix=(PromptShare(prompt="oil"), PromptShare(prompt="neon", weight=weight)))

    near = [apart(mix(weight), neon) for weight in (0.1, 0.5, 1.0, 2.0, 9.0)]
    assert near == sorted(near, reverse=True) and near[-1] < 0.5 * near[0]


def test_a_mix_of_four_is_painted_and_says_what_it_does_not_know(engine: Engine) -> None:
    mix = (NEON, WARM_OIL, PromptShare(prompt="fog"), PromptShare(prompt="", weight=0.5))
    stream = stream_of(engine, mix=mix, steps=2)
    assert frames_of(painted(stream, clip(5))).shape[0] == 20
    assert stream.unknown_words == ("fog",)


def test_words_that_come_and_go_count_as_much_as_they_are_there(engine: Engine) -> None:
    """From one word to three: the two new ones come by their weight, which takes a mask only on the way."""
    later = settings_of(prompt="oil neon warm", transition_frames=8)
    texts = [chunk.text for chunk in encoded([settings_of(), later, later], engine)]
    assert [text.mask is None for text in texts] == [True, False, True]
    assert texts[1].mask is not None
    assert texts[1].mask.flatten().exp().tolist() == pytest.approx([1, *[1000**-0.5] * 2], rel=0.05)


@pytest.mark.parametrize(("transition_frames", "at"), [(0, 1), (4, 1), (12, 3)])
def test_recaching_is_asked_for_once_at_the_end_of_a_change(
    engine: Engine, transition_frames: int, at: int
) -> None:
    later = settings_of(prompt="neon", transition_frames=transition_frames, recache=True)
    chunks = encoded([settings_of(), *[later] * 5], engine)
    assert [i for i, chunk in enumerate(chunks) if chunk.recache] == [at]
    without = encoded([settings_of(), *[settings_of(prompt="neon")] * 5], engine)
    assert not any(chunk.recache for chunk in without)


@pytest.mark.parametrize("pause", range(1, 8))
@pytest.mark.parametrize("steps", [1, 3])
def test_goes_on_elsewhere_bit_by_bit_in_the_middle_of_a_change(steps: int, pause: int) -> None:
    engine, elsewhere = tiny_engine(kind="fresh"), tiny_engine(kind="fresh")
    changes = {"steps": steps, "motion_window": 20, "motion_smoothing": 0.5, "transition_frames": 16}
    stream, chunks = stream_of(engine, **changes), clip(14)
    for i, chunk in enumerate(chunks[: 2 + pause]):
        prompt = "oil" if i < 2 else "neon warm" if i < 5 else "warm"
        stream.update(settings_of(prompt=prompt, **changes))
        stream.push(chunk)
    copy = stream_of(elsewhere, prompt="warm")
    copy.restore(stream.state())
    here, there = painted(stream, chunks[2 + pause :]), painted(copy, chunks[2 + pause :])
    assert numbers_of(here) == numbers_of(there)
    assert [one.strength for one in here] == [one.strength for one in there]
    assert torch.equal(frames_of(here), frames_of(there))
