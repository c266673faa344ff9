"""The text encoder's thread: nobody waits for it, a prompt is encoded once, and it goes when it is idle."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from pathlib import Path

import pytest
import torch
from tests.engine.wan.texts import PATIENCE_S, SlowEncoders, embedding_of

from limner.engine.errors import TextError, WeightsError
from limner.engine.text import TextEmbedding
from limner.engine.wan.text import GoOn, PromptEncoder, Umt5Config, Umt5Text


@pytest.fixture
def encoders() -> SlowEncoders:
    return SlowEncoders()


@pytest.fixture
def text(encoders: SlowEncoders) -> Iterator[Umt5Text]:
    text = encoders.text()
    yield text
    encoders.let(100)
    text.close()


def got(asked: Future[TextEmbedding]) -> TextEmbedding:
    return asked.result(PATIENCE_S)


def is_that_of(embedding: TextEmbedding, prompt: str) -> bool:
    wanted = embedding_of(prompt).text
    mine = embedding.text
    return torch.equal(mine.embedding_LE, wanted.embedding_LE) and mine.zeros == wanted.zeros


def test_asking_does_not_wait_and_what_is_known_is_there_at_once(
    text: Umt5Text, encoders: SlowEncoders
) -> None:
    asked = text.ask("oil")
    assert encoders.has_begun() == "oil" and not asked.done()
    encoders.let()
    assert is_that_of(got(asked), "oil")
    again = text.ask("  oil ")
    assert again.done() and got(again) is got(asked)
    assert encoders.encoded == ["oil"] and encoders.loads == 1


def test_two_who_ask_for_the_same_prompt_share_its_encoding(text: Umt5Text, encoders: SlowEncoders) -> None:
    first = text.ask("oil")
    encoders.has_begun()
    second, third = text.ask("oil"), text.ask("oil &amp; neon")
    fourth = text.ask("oil & neon")
    encoders.let(2)
    assert got(first) is got(second) and got(third) is got(fourth)
    assert encoders.encoded == ["oil", "oil & neon"]


def test_the_newest_goes_first_and_what_is_prepared_last_in_its_order(
    text: Umt5Text, encoders: SlowEncoders
) -> None:
    text.ask("a")
    encoders.has_begun()
    prepared = text.prepare(["style 1", "style 2", "style 3"])
    for prompt in ("b", "c", "b", "style 2"):
        text.ask(prompt)
    encoders.let(6)
    assert all(is_that_of(got(one), f"style {i}") for i, one in enumerate(prepared, 1))
    assert encoders.encoded == ["a", "style 2", "b", "c", "style 1", "style 3"]


def test_what_nobody_wants_any_more_is_not_encoded(text: Umt5Text, encoders: SlowEncoders) -> None:
    text.ask("a")
    encoders.has_begun()
    dropped, kept, half = text.ask("dropped"), text.ask("kept"), text.ask("half")
    still = text.ask("half")
    assert dropped.cancel() and half.cancel()
    encoders.let(3)
    assert is_that_of(got(kept), "kept") and is_that_of(got(still), "half")
    assert encoders.encoded == ["a", "half", "kept"]
    with pytest.raises(CancelledError):
        dropped.result(0)


def test_who_asks_again_for_what_was_dropped_while_it_is_encoded_gets_it(
    text: Umt5Text, encoders: SlowEncoders
) -> None:
    dropped = text.ask("oil")
    encoders.has_begun()
    dropped.cancel()
    again = text.ask("oil")
    encoders.let()
    assert is_that_of(got(again), "oil") and encoders.encoded == ["oil"]


def test_what_nobody_wants_any_more_is_not_finished(text: Umt5Text, encoders: SlowEncoders) -> None:
    dropped = text.ask("dropped")
    assert encoders.has_begun() == "dropped"
    wanted = text.ask("wanted")
    dropped.cancel()
    encoders.let(2)
    assert is_that_of(got(wanted), "wanted") and encoders.encoded == ["wanted"]
    assert (encoders.loads, encoders.frees) == (1, 0)


def test_what_is_only_prepared_makes_way_and_is_taken_up_again(
    text: Umt5Text, encoders: SlowEncoders
) -> None:
    prepared = text.prepare(["style 1", "style 2"])
    assert encoders.has_begun() == "style 1"
    asked = text.ask("oil")
    encoders.let(4)
    assert is_that_of(got(asked), "oil") and is_that_of(got(prepared[0]), "style 1")
    assert is_that_of(got(prepared[1]), "style 2") and encoders.encoded == ["oil", "style 1", "style 2"]


def test_who_asks_fast_gets_something_all_the_same(text: Umt5Text, encoders: SlowEncoders) -> None:
    first = text.ask("first")
    assert encoders.has_begun() == "first"
    second = text.ask("second")
    encoders.let(2)
    got(first), got(second)
    assert encoders.encoded == ["first", "second"]


def test_closing_interrupts_the_loading() -> None:
    loading, text = threading.Event(), Umt5Text(Umt5Config(dim=8, length=6))

    def load(go_on: GoOn) -> PromptEncoder:
        loading.set()
        while True:
            go_on()
            threading.Event().wait(0.001)

    text.connect(load)
    asked = text.ask("oil")
    assert loading.wait(PATIENCE_S)
    text.close()
    assert asked.cancelled() and not any(thread.name == "limner-text" for thread in threading.enumerate())


def test_is_freed_when_idle_and_loaded_again_when_needed() -> None:
    encoders = SlowEncoders(slow=False)
    text = encoders.text(idle_s=0.0)
    for load, prompt in enumerate(("oil", "neon"), 1):
        encoders.freed.clear()
        got(text.ask(prompt))
        assert encoders.freed.wait(PATIENCE_S)
        assert (encoders.loads, encoders.frees) == (load, load)
    text.close()
    assert not any(thread.name == "limner-text" for thread in threading.enumerate())


def test_goes_at_once_for_who_needs_the_memory_and_comes_back() -> None:
    encoders = SlowEncoders(slow=False)
    text = encoders.text(idle_s=1e7)
    assert not text.let_go(), "it is not loaded"
    for count, prompt in enumerate(("oil", "neon"), 1):
        got(text.ask(prompt))
        assert text.let_go(PATIENCE_S)
        assert (encoders.loads, encoders.frees) == (count, count)
    text.close()


def test_a_device_that_fails_to_free_it_ends_nothing() -> None:
    encoders = SlowEncoders(slow=False)
    encoders.free_fault = RuntimeError("captures_underway.empty() INTERNAL ASSERT FAILED")
    text = encoders.text(idle_s=1e7)
    for prompt in ("oil", "neon"):
        got(text.ask(prompt))
        assert text.let_go(PATIENCE_S)
    encoders.fault = RuntimeError("CUDA error")
    with pytest.raises(TextError, match="CUDA error"):
        got(text.ask("glass"))
    encoders.fault = None
    got(text.ask("glass"))
    text.close()


def test_closing_frees_it_cancels_what_waits_and_takes_no_more(encoders: SlowEncoders) -> None:
    text = encoders.text()
    asked = text.ask("a")
    encoders.has_begun()
    waiting = text.ask("b")
    encoders.let()
    got(asked)
    encoders.let()
    text.close()
    assert waiting.done() and encoders.frees == 1
    with pytest.raises(TextError, match="closed"):
        text.encode("c")
    text.close()


def test_a_fault_is_told_to_all_who_wait_and_the_next_who_asks_tries_again(
    text: Umt5Text, encoders: SlowEncoders
) -> None:
    encoders.fault = torch.OutOfMemoryError("CUDA out of memory")
    first = text.ask("oil")
    encoders.has_begun()
    second = text.ask("oil")
    encoders.let()
    for asked in (first, second):
        with pytest.raises(TextError, match=r"not enough memory for the text encoder; close other"):
            got(asked)
    encoders.fault = None
    encoders.let()
    assert is_that_of(text.encode("oil"), "oil")
    # Whatever it was: a fresh one is loaded after a fault.
    assert (encoders.loads, encoders.frees) == (2, 1)


def test_what_cannot_be_loaded_fails_for_all_who_wait_and_says_why(
    text: Umt5Text, encoders: SlowEncoders
) -> None:
    encoders.load_fault = WeightsError("/models/umt5: there is no such weights file")
    with pytest.raises(TextError, match="/models/umt5: there is no such weights file"):
        text.encode("oil")
    for prepared in text.prepare(["a", "b"]):
        with pytest.raises(TextError, match="/models/umt5"):
            got(prepared)
    encoders.load_fault = RuntimeError("surprise")
    with pytest.raises(TextError, match=r"the text encoder failed \(RuntimeError: surprise\)"):
        text.encode("oil")


def test_without_files_it_says_so() -> None:
    text = Umt5Text(Umt5Config(dim=8, length=6))
    with pytest.raises(TextError, match="without a text encoder"):
        text.encode("oil")
    text.close()


def test_what_is_on_disk_needs_no_encoder(tmp_path: Path) -> None:
    first, second = SlowEncoders(slow=False), SlowEncoders(slow=False)
    words = "one two three four five six seven eight"
    for encoders in (first, second):
        text = encoders.text(cache=tmp_path)
        encoded = text.encode(words)
        assert is_that_of(encoded, words) and encoded.unknown == ("seven", "eight")
        text.close()
    assert (first.loads, second.loads) == (1, 0)


@pytest.mark.parametrize("changes", [{"dim": 0}, {"length": 0}])
def test_bad_sizes_are_named(changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=rf"text\.{next(iter(changes))} must be at least 1, not 0"):
        Umt5Config(**changes)  # type: ignore[arg-type]  # mypy thinks of `kind`
