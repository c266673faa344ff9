"""The working size: near the source's aspect, within the engine's area, multiples of 16."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.daemon.sizes import ECHO, MAX_SIDE, MIN_SIDE, POCKET, traits_of, working_size
from limner.worker.model_source import CONFIG


@pytest.mark.parametrize(
    ("source", "size"),
    [
        ((1920, 1080), (320, 176)),
        ((640, 360), (320, 176)),
        ((1080, 1920), (176, 320)),
        ((640, 480), (256, 192)),
        ((1000, 1000), (240, 240)),
    ],
)
def test_known_sources(source: tuple[int, int], size: tuple[int, int]) -> None:
    assert working_size(*source, POCKET) == size


@given(st.integers(1, 8192), st.integers(1, 8192))
def test_any_source_has_a_size(width: int, height: int) -> None:
    w, h = working_size(width, height, POCKET)
    assert w % 16 == h % 16 == 0
    assert MIN_SIDE <= min(w, h) <= max(w, h) <= MAX_SIDE
    assert w * h <= POCKET.area_px
    if 1 / 3 < width / height < 3:
        assert 0.93 < (w / h) / (width / height) < 1.07


def test_only_an_engine_that_takes_any_size_gets_the_exact_one() -> None:
    assert working_size(175, 143, ECHO, exact_size=True) == (175, 143)
    assert working_size(1920, 1080, ECHO) == (320, 176)
    assert working_size(1920, 1080, POCKET, exact_size=True) == (320, 176)


def test_an_unknown_engine_is_named() -> None:
    with pytest.raises(
        ValueError, match=r"unknown engine 'wan'; did you mean wan-14b\? there are: pocket, echo, wan-1.3b, "
    ):
        traits_of("wan")
    with pytest.raises(ValueError, match="unknown engine"):
        traits_of("os:abort")


def test_a_model_of_the_catalogue_has_traits() -> None:
    traits = traits_of("wan-1.3b")
    assert (traits.frames_per_chunk, traits.most_frames) == (4, 16)
    assert working_size(1920, 1080, traits) == (832, 464)
    assert working_size(1080, 1920, traits) == (464, 832)


def test_pockets_traits_are_those_of_its_own_file() -> None:
    table = tomllib.loads(CONFIG.read_text())
    width, height = table["default_size"]
    assert (4 * table["latent_frames_per_chunk"], width * height) == (POCKET.frames_per_chunk, POCKET.area_px)
