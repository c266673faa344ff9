"""Which text is in force: transitions are even, end exactly, and turn without a jump; mixes by weight."""

from __future__ import annotations

import itertools

import pytest
import torch

from limner.engine.blend import SoftText, between
from limner.engine.prompts import PromptTrack, TextChange, TextWish, wanted_shares
from limner.engine.text import TextConfig, WordText
from limner.engine.types import PromptShare, StreamSettings


@pytest.fixture
def words() -> WordText:
    torch.manual_seed(0)
    return WordText(TextConfig(dim=16, length=4, words=("oil", "painting", "neon", "warm", "dark")))


def equal(a: SoftText, b: SoftText) -> bool:
    return torch.equal(a.embedding_LE, b.embedding_LE) and torch.equal(a.weight_L, b.weight_L)


def distance(a: SoftText, b: SoftText) -> float:
    """Of what attention sees: each token as much as it counts."""
    seen = [text.embedding_LE * text.weight_L[:, None] for text in (a, b)]
    return float((seen[0] - seen[1]).norm())


def pushed(track: PromptTrack, chunks: int, frames: int = 4) -> list[TextChange]:
    changes = [track.push(frames) for _ in range(chunks)]
    assert all(change is not None for change in changes)
    return [change for change in changes if change is not None]


def started(words: WordText, prompt: str) -> PromptTrack:
    track = PromptTrack(words.encode(prompt).text)
    track.push(4)
    return track


def test_the_first_chunk_has_the_first_text_and_the_next_nothing_new(words: WordText) -> None:
    text = words.encode("oil").text
    track = PromptTrack(text)
    assert track.push(4) == TextChange(text=text, is_complete=True)
    assert track.push(4) is None and track.now is text


def test_without_a_transition_the_next_chunk_has_it(words: WordText) -> None:
    track, target = started(words, "oil"), words.encode("neon").text
    track.aim(target, 0)
    assert track.push(4) == TextChange(text=target, is_complete=True)
    assert track.push(4) is None


@pytest.mark.parametrize("frames", [1, 4, 8, 16])
def test_takes_as_many_frames_as_asked_and_ends_exactly(words: WordText, frames: int) -> None:
    track, target = started(words, "dark oil painting"), words.encode("warm neon").text
    track.aim(target, 60)
    chunks = -(-60 // frames)
    changes = pushed(track, chunks, frames)
    assert [change.is_complete for change in changes] == [False] * (chunks - 1) + [True]
    assert equal(changes[-1].text, target) and track.push(frames) is None


@pytest.mark.parametrize("prompt", ["dark oil", "dark oil painting", ""])
def test_comes_nearer_with_every_chunk(words: WordText, prompt: str) -> None:
    track, target = started(words, prompt), words.encode("warm neon").text
    left = [distance(track.now, target)]
    track.aim(target, 40)
    left += [distance(change.text, target) for change in pushed(track, 10)]
    assert all(b < a for a, b in itertools.pairwise(left)) and left[-1] == 0


def test_goes_in_even_steps(words: WordText) -> None:
    track, target = started(words, "dark oil"), words.encode("warm neon").text
    texts = [track.now]
    track.aim(target, 40)
    texts += [change.text for change in pushed(track, 10)]
    steps = [distance(a, b) for a, b in itertools.pairwise(texts)]
    assert max(steps) < 1.5 * sum(steps) / len(steps)


def test_turns_towards_a_newer_text_from_where_it_is(words: WordText) -> None:
    track, second = started(words, "oil"), words.encode("neon dark").text
    track.aim(words.encode("warm painting").text, 40)
    before = [change.text for change in pushed(track, 5)]
    track.aim(second, 40)
    after = [change.text for change in pushed(track, 10)]
    assert equal(after[0], between(before[-1], second, 0.1))
    steps = [distance(a, b) for a, b in itertools.pairwise(before + after)]
    assert max(steps) < 2 * sum(steps) / len(steps)
    assert equal(after[-1], second)


def test_a_change_that_is_taken_back_goes_back(words: WordText) -> None:
    track = started(words, "oil")
    first = track.now
    track.aim(words.encode("neon").text, 40)
    left = [distance(change.text, first) for change in pushed(track, 4)]
    track.aim(words.encode("oil").text, 40)
    back = [distance(change.text, first) for change in pushed(track, 10)]
    assert all(b < a for a, b in itertools.pairwise([left[-1], *back])) and back[-1] == 0


def test_asking_again_for_the_same_changes_nothing(words: WordText) -> None:
    track, other = started(words, "oil"), started(words, "oil")
    for each in (track, other):
        each.aim(words.encode("neon").text, 40)
    for _ in range(10):
        track.aim(words.encode("NEON!").text, 400)
        assert equal(pushed(track, 1)[0].text, pushed(other, 1)[0].text)
    track.aim(words.encode("neon").text, 40)
    assert track.push(4) is None


def test_reset_is_there_at_once(words: WordText) -> None:
    track, target = started(words, "oil"), words.encode("neon").text
    track.aim(target, 40)
    track.push(4)
    track.reset()
    assert track.push(4) == TextChange(text=target, is_complete=True)


def test_mixes_as_the_weights_say_and_only_their_ratio_matters(words: WordText) -> None:
    oil, neon = words.encode("oil").text, words.encode("neon").text

    def mix(*weights: float) -> SoftText:
        shares = tuple(
            PromptShare(prompt=prompt, weight=weight)
            for prompt, weight in zip(("oil", "neon", "warm", "dark"), weights, strict=False)
        )
        return TextWish(words, wanted_shares(StreamSettings(prompt="painting", mix=shares))).text().text

    assert equal(mix(2.0), oil)
    assert equal(mix(1.0, 3.0), between(oil, neon, 0.75))
    assert equal(mix(5.0, 15.0), mix(1.0, 3.0))
    nearness = [distance(mix(1.0, weight), neon) for weight in (0.01, 0.5, 1.0, 2.0, 100.0)]
    assert all(b < a for a, b in itertools.pairwise(nearness)) and nearness[-1] < 0.05 * nearness[0]
    even = mix(1.0, 1.0, 1.0, 1.0)
    apart = [distance(even, words.encode(prompt).text) for prompt in ("oil", "neon", "warm", "dark")]
    assert max(apart) < 1.5 * min(apart)


def test_unknown_words_of_all_prompts_are_named_once(words: WordText) -> None:
    mix = (PromptShare(prompt="neon fog"), PromptShare(prompt="fog in oil"), PromptShare(prompt=""))
    wish = TextWish(words, mix)
    assert wish.is_there and wish.text().unknown == ("fog", "in")
