"""A picture that comes out blank is noticed, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest

from limner.worker.blank import BlankError, BlankWatch, Picture, contrast


def ramp(levels: int = 255) -> Picture:
    row = np.linspace(0, levels, 320).astype(np.uint8)
    return np.repeat(np.repeat(row[None, :, None], 176, 0), 4, 2)


def flat(value: int = 0) -> Picture:
    return np.full((176, 320, 3), value, np.uint8)


def test_contrast() -> None:
    assert contrast(flat(200)) == 0
    assert contrast(ramp()) > 200
    colours = flat()
    colours[..., 0] = 255
    assert contrast(colours) == 0, "one colour all over, whichever"
    assert contrast(np.zeros((4, 4, 3), np.uint8)) == 0, "too small to look at"


@pytest.mark.parametrize(
    ("source", "painted", "blank"),
    [
        (ramp(), flat(), True),
        (ramp(), flat(128), True),
        (flat(), flat(), False),
        (ramp(20), flat(), False),
        (ramp(), ramp(2), False),
        (flat(), ramp(), False),
    ],
)
def test_only_one_colour_of_something_to_see_is_blank(source: Picture, painted: Picture, blank: bool) -> None:
    watch = BlankWatch()
    watch.took(source)
    assert watch.is_blank(painted) is blank


def test_chunks_come_out_later_and_together() -> None:
    watch = BlankWatch()
    for source in (flat(), ramp(), ramp()):
        watch.took(source)
    assert not watch.is_blank(flat(), chunks=2), "one of them had nothing to see"
    assert watch.is_blank(flat())
    assert not watch.is_blank(flat()), "nothing is inside"


def test_again_and_again_is_an_error_with_advice() -> None:
    watch = BlankWatch()
    for _ in range(2):
        watch.took(ramp())
        assert watch.is_blank(flat())
        watch.begin_anew()
    watch.took(ramp())
    with pytest.raises(BlankError, match="limner models verify"):
        watch.is_blank(flat())


def test_a_good_picture_between_forgives() -> None:
    watch = BlankWatch()
    for painted in (flat(), flat(), ramp(), flat(), flat()):
        watch.took(ramp())
        assert watch.is_blank(painted) is (contrast(painted) == 0)
