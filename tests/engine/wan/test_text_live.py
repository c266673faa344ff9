"""A stream whose text encoder is slow goes on, takes the newest text when it comes, and says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.engine.streaming import clip, frames_of, painted, settings_of, stream_of
from tests.engine.wan.texts import DIM, LENGTH, PATIENCE_S, SlowEncoders, model_parameters, slow_config
from tests.engine.wan.texts import slow_engine as new_engine

from limner.engine.dit.context import TextContext
from limner.engine.dit.model import CausalDiT
from limner.engine.engine import Engine
from limner.engine.errors import TextError
from limner.engine.state import StreamState
from limner.engine.stream import Stream
from limner.engine.types import WAITS, WAITS_FIRST, Painted, PromptShare

KNOWN = ("oil", "neon", "warm light", "fog")


@pytest.fixture
def encoders() -> SlowEncoders:
    return SlowEncoders()


@pytest.fixture
def engine(encoders: SlowEncoders) -> Iterator[Engine]:
    engine = new_engine(encoders)
    yield engine
    encoders.let(100)
    engine.close()


@pytest.fixture(scope="module")
def knowing() -> Iterator[Engine]:
    """The same weights, with all texts known: what a stream is to look like where it waits for none."""
    engine = new_engine(SlowEncoders(slow=False))
    for prepared in engine.text.prepare(KNOWN):
        prepared.result(PATIENCE_S)
    yield engine
    engine.close()


def pushed(stream: Stream, chunk: torch.Tensor, **changes: Any) -> Painted:
    if changes:
        stream.update(settings_of(**changes))
    result = stream.push(chunk)
    assert result is not None
    return result


def opened(engine: Engine, encoders: SlowEncoders, prompt: str = "oil", **changes: Any) -> Stream:
    """A stream that has its first text."""
    encoders.let()
    engine.text.ask(prompt).result(PATIENCE_S)
    assert encoders.has_begun() == prompt
    return stream_of(engine, prompt=prompt, **changes)


def finished(engine: Engine, encoders: SlowEncoders, prompt: str) -> None:
    """The encoder, which is at this prompt, is let finish it."""
    assert encoders.has_begun() == prompt
    asked = engine.text.ask(prompt)
    encoders.let()
    asked.result(PATIENCE_S)


def test_chunks_flow_while_the_encoder_is_blocked_and_the_text_comes_with_the_chunk_after(
    engine: Engine, encoders: SlowEncoders, knowing: Engine
) -> None:
    chunks = clip(9)
    stream, like = opened(engine, encoders), stream_of(knowing)
    here = [pushed(stream, chunks[0])]
    here += [pushed(stream, chunk, prompt="neon", revision=7) for chunk in chunks[1:5]]
    assert [one.text_note for one in here] == ["", *[WAITS] * 4]
    assert [one.revision for one in here] == [0, *[7] * 4]
    finished(engine, encoders, "neon")
    here += [pushed(stream, chunk) for chunk in chunks[5:]]
    assert [one.text_note for one in here[5:]] == [""] * 4
    there = [pushed(like, chunk) for chunk in chunks[:5]]
    there += [pushed(like, chunk, prompt="neon") for chunk in chunks[5:]]
    assert torch.equal(frames_of(here), frames_of(there))
    never = painted(stream_of(knowing), chunks)
    assert not torch.equal(frames_of(here), frames_of(never))


def test_a_transition_begins_when_the_text_has_come_as_long_as_is_asked_for_then(
    engine: Engine, encoders: SlowEncoders, knowing: Engine
) -> None:
    chunks = clip(9)
    stream, like = opened(engine, encoders), stream_of(knowing)
    here = [pushed(stream, chunks[0])]
    here += [pushed(stream, chunks[1], prompt="neon", transition_frames=40)]
    here += [pushed(stream, chunk, prompt="neon", transition_frames=12) for chunk in chunks[2:4]]
    finished(engine, encoders, "neon")
    here += [pushed(stream, chunk) for chunk in chunks[4:]]
    there = [pushed(like, chunk) for chunk in chunks[:4]]
    there += [pushed(like, chunk, prompt="neon", transition_frames=12) for chunk in chunks[4:]]
    assert torch.equal(frames_of(here), frames_of(there))


def test_the_newest_of_several_wins_and_the_others_are_never_encoded(
    engine: Engine, encoders: SlowEncoders, knowing: Engine
) -> None:
    chunks = clip(8)
    stream, like = opened(engine, encoders), stream_of(knowing)
    here = [pushed(stream, chunks[0])]
    for chunk, prompt in zip(chunks[1:5], ("neon", "lost", "lost too", "warm light"), strict=True):
        here += [pushed(stream, chunk, prompt=prompt)]
    assert encoders.has_begun() == "neon"
    encoders.let()  # It was at that one already, which nobody wants by now.
    here += [pushed(stream, chunks[5])]
    assert here[-1].text_note == WAITS
    finished(engine, encoders, "warm light")
    here += [pushed(stream, chunk) for chunk in chunks[6:]]
    there = [pushed(like, chunk) for chunk in chunks[:6]]
    there += [pushed(like, chunk, prompt="warm light") for chunk in chunks[6:]]
    assert torch.equal(frames_of(here), frames_of(there))
    assert encoders.encoded == ["oil", "warm light"]


def test_a_wish_that_is_taken_back_leaves_no_trace(
    engine: Engine, encoders: SlowEncoders, knowing: Engine
) -> None:
    chunks = clip(5)
    stream = opened(engine, encoders)
    here = [pushed(stream, chunks[0]), pushed(stream, chunks[1], prompt="neon")]
    # What is taken back before the encoder is at it, it never begins.
    assert encoders.has_begun() == "neon"
    here += [pushed(stream, chunks[2], prompt="oil")]
    asked = engine.text.ask("neon")
    encoders.let()
    asked.result(PATIENCE_S)
    here += [pushed(stream, chunk) for chunk in chunks[3:]]
    assert [bool(one.text_note) for one in here] == [False, True, False, False, False]
    assert torch.equal(frames_of(here), frames_of(painted(stream_of(knowing), chunks)))


@pytest.mark.parametrize("steps", [1, 2])
def test_opens_at_once_and_shows_the_source_until_its_first_text_has_come(
    engine: Engine, encoders: SlowEncoders, knowing: Engine, steps: int
) -> None:
    chunks = clip(9)
    stream, like = stream_of(engine, steps=steps), stream_of(knowing, steps=steps, strength=0.0)
    here = [stream.push(chunk) for chunk in chunks[:4]]
    finished(engine, encoders, "oil")
    here += [stream.push(chunk) for chunk in chunks[4:]]
    there = [like.push(chunk) for chunk in chunks[:4]]
    like.update(settings_of(steps=steps))
    there += [like.push(chunk) for chunk in chunks[4:]]
    come = [one for one in here if one is not None]
    assert torch.equal(frames_of(come), frames_of([one for one in there if one is not None]))
    assert [one.text_note for one in come] == [*[WAITS_FIRST] * 4, *[""] * (5 - (steps - 1))]
    assert [one.strength for one in come[:4]] == [0.0] * 4 and come[4].strength > 0


def test_a_mix_comes_when_all_its_prompts_have(
    engine: Engine, encoders: SlowEncoders, knowing: Engine
) -> None:
    mix = tuple(PromptShare(prompt=prompt, weight=i + 1.0) for i, prompt in enumerate(KNOWN))
    chunks, stream, like = clip(4), opened(engine, encoders), stream_of(knowing)
    here = [pushed(stream, chunks[0]), pushed(stream, chunks[1], mix=mix)]
    finished(engine, encoders, "fog")
    here += [pushed(stream, chunks[2])]
    assert here[-1].text_note == WAITS
    for prompt in ("warm light", "neon"):
        finished(engine, encoders, prompt)
    here += [pushed(stream, chunks[3])]
    there = [pushed(like, chunk) for chunk in chunks[:3]] + [pushed(like, chunks[3], mix=mix)]
    assert torch.equal(frames_of(here), frames_of(there)) and here[-1].text_note == ""


def test_a_failure_keeps_the_look_and_says_why_once_it_is_known(
    engine: Engine, encoders: SlowEncoders, knowing: Engine
) -> None:
    chunks, stream = clip(5), opened(engine, encoders)
    encoders.fault = MemoryError()
    here = [pushed(stream, chunks[0]), pushed(stream, chunks[1], prompt="neon")]
    assert encoders.has_begun() == "neon"
    with_fault = engine.text.ask("neon")
    encoders.let()
    with pytest.raises(TextError):
        with_fault.result(PATIENCE_S)
    here += [pushed(stream, chunk) for chunk in chunks[2:4]]
    assert all(one.text_note.startswith("the prompt cannot be painted: there is not") for one in here[2:])
    assert torch.equal(frames_of(here), frames_of(painted(stream_of(knowing), chunks[:4])))
    encoders.fault = None
    assert pushed(stream, chunks[4], prompt="oil").text_note == ""


def test_two_streams_that_want_the_same_text_share_its_encoding(
    engine: Engine, encoders: SlowEncoders
) -> None:
    chunks = clip(3)
    streams = [opened(engine, encoders), stream_of(engine)]
    for stream in streams:
        pushed(stream, chunks[0])
        pushed(stream, chunks[1], prompt="neon")
    finished(engine, encoders, "neon")
    first, second = (pushed(stream, chunks[2]) for stream in streams)
    assert torch.equal(first.frames_TCHW, second.frames_TCHW) and first.text_note == ""
    assert encoders.encoded == ["oil", "neon"]


@pytest.mark.parametrize("first", [False, True])
def test_goes_on_elsewhere_in_the_middle_of_waiting(
    engine: Engine, encoders: SlowEncoders, tmp_path: Path, first: bool
) -> None:
    chunks = clip(8)
    stream = stream_of(engine) if first else opened(engine, encoders)
    for chunk in chunks[:2]:
        pushed(stream, chunk)
    if not first:
        pushed(stream, chunks[2], prompt="neon", transition_frames=8)
    stream.state().save(tmp_path / "state")
    others = SlowEncoders()
    elsewhere = new_engine(others)
    copy = opened(elsewhere, others, "fog")
    copy.restore(StreamState.load(tmp_path / "state"))
    prompt = "oil" if first else "neon"
    here, there = ([pushed(one, chunk) for chunk in chunks[3:5]] for one in (stream, copy))
    assert [one.text_note for one in here] == [WAITS_FIRST if first else WAITS] * 2
    finished(engine, encoders, prompt)
    finished(elsewhere, others, prompt)
    here += [pushed(stream, chunk) for chunk in chunks[5:]]
    there += [pushed(copy, chunk) for chunk in chunks[5:]]
    assert torch.equal(frames_of(here), frames_of(there))
    assert [one.text_note for one in here] == [one.text_note for one in there]
    assert others.encoded == ["fog", prompt]
    elsewhere.close()


def test_nothing_is_made_per_chunk_unless_the_text_changes(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, encoders: SlowEncoders
) -> None:
    made, make = [], CausalDiT.text_context

    def counted(*given: Any) -> TextContext:
        made.append(context := make(*given))
        return context

    monkeypatch.setattr(CausalDiT, "text_context", counted)
    chunks, stream = clip(12), opened(engine, encoders)
    for chunk in chunks[:3]:
        pushed(stream, chunk)
    for chunk in chunks[3:6]:
        pushed(stream, chunk, prompt="neon", transition_frames=12)
    assert len(made) == 1, "waiting costs nothing"
    finished(engine, encoders, "neon")
    for chunk in chunks[6:]:
        pushed(stream, chunk)
    assert len(made) == 1 + 3, "three chunks of transition"
    assert {context.keys[0].shape[1] for context in made} == {LENGTH}, "all of Wan's padding is attended to"


def test_the_encoder_is_no_part_of_the_models_weights() -> None:
    config = slow_config()
    assert config.text.dim == DIM and not any(name.startswith("text.") for name in model_parameters(config))
