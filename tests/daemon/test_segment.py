"""Segments: what is made can be opened, what lies is refused."""

from __future__ import annotations

import errno
import secrets
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limner.daemon import segment as seg
from limner.daemon.segment import Segment, SegmentError, SegmentLayout

SHM = Path("/dev/shm")
LAYOUT = SegmentLayout(generation=7, slot_count=3, width=20, height=10, direction=seg.DIRECTION_INPUT)


@pytest.fixture
def prefix() -> Iterator[str]:
    name = f"limner-test-{secrets.token_hex(4)}-"
    yield name
    left = seg.remove_stale(name)
    assert left == [], "the test left segments behind"


def test_both_sides_see_the_same_pixels(prefix: str) -> None:
    ours = Segment.create(prefix, LAYOUT)
    theirs = Segment.open(ours.name)
    assert theirs.layout == LAYOUT
    with ours.pixels(2) as pixels:
        pixels[:] = b"\x05" * LAYOUT.frame_bytes
    ours.write_slot_header(2, sequence=9, pts_ns=11, flags=1)
    with theirs.pixels(2) as pixels:
        assert bytes(pixels) == b"\x05" * LAYOUT.frame_bytes
    with theirs.pixels(1) as pixels:
        assert not any(pixels)
    assert theirs.read_slot_header(2) == (9, 11, 1)
    for side in (ours, theirs):
        side.close()
    ours.unlink()
    ours.unlink()


def test_it_is_private_and_its_name_is_random(prefix: str) -> None:
    one, two = Segment.create(prefix, LAYOUT), Segment.create(prefix, LAYOUT)
    assert one.name != two.name
    assert stat.S_IMODE((SHM / one.name).stat().st_mode) == 0o600
    for made in (one, two):
        made.close()
        made.unlink()


@pytest.mark.parametrize("slot", [-1, 3, 255])
def test_a_slot_out_of_range_is_refused(prefix: str, slot: int) -> None:
    made = Segment.create(prefix, LAYOUT)
    with pytest.raises(SegmentError, match=f"no slot {slot}"):
        made.pixels(slot)
    made.close()
    made.unlink()


@pytest.mark.parametrize(
    ("position", "value", "words"),
    [
        (0, 0, "magic"),
        (1, 2, "ABI 2"),
        (2, 0, "generation 0"),
        (3, 0, "0 slots"),
        (3, 4, "promises 4 slots"),
        (3, 2**32 - 1, "slots"),
        (4, 4096 * 2, "promises"),
        (5, 9, "pixel format 9"),
        (6, 0, "0×10"),
        (6, 2**31, "out of range"),
        (7, 8193, "out of range"),
        (7, 8192, "promises"),
        (8, 3, "direction 3"),
    ],
)
def test_a_lying_header_is_refused(prefix: str, position: int, value: int, words: str) -> None:
    made = Segment.create(prefix, LAYOUT)
    made.close()
    path = SHM / made.name
    with path.open("r+b") as file:
        file.seek(4 * position)
        file.write(struct.pack("<I", value))
    try:
        with pytest.raises(SegmentError, match=words) as caught:
            Segment.open(made.name)
        assert made.name in str(caught.value)
    finally:
        made.unlink()


@pytest.mark.parametrize("size", [0, 10, 4095, 4096, LAYOUT.size_bytes - 1, LAYOUT.size_bytes + 4096])
def test_a_segment_of_another_size_is_refused(prefix: str, size: int) -> None:
    made = Segment.create(prefix, LAYOUT)
    made.close()
    with (SHM / made.name).open("r+b") as file:
        file.truncate(size)
    try:
        with pytest.raises(SegmentError, match=made.name):
            Segment.open(made.name)
    finally:
        made.unlink()


@given(st.binary(min_size=36, max_size=36), st.integers(min_value=0, max_value=2**34))
@settings(max_examples=300)
def test_no_header_passes_by_chance(header: bytes, size: int) -> None:
    with pytest.raises(SegmentError):
        SegmentLayout.unpack(header, real_size_bytes=size, name="x")


@pytest.mark.parametrize("name", ["", "other-1", "limner-../../etc/passwd", "limner-a/b", "limner-not-there"])
def test_a_name_that_is_no_segment_is_refused(name: str) -> None:
    with pytest.raises(SegmentError):
        Segment.open(name)


def test_a_link_in_place_of_a_segment_is_refused(prefix: str, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"\0" * 8192)
    link = SHM / f"{prefix}link"
    link.symlink_to(target)
    try:
        with pytest.raises(SegmentError, match="link"):
            Segment.open(link.name)
    finally:
        link.unlink()


def test_too_little_memory_is_named_and_leaves_nothing(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(SegmentError, match=r"not enough shared memory .* 20×10"):
        Segment.create(prefix, LAYOUT)
    assert not list(SHM.glob(f"{prefix}*"))


def test_shared_memory_that_cannot_be_written_is_named(
    prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "shm"
    monkeypatch.setattr(seg, "_SHM", missing)
    with pytest.raises(SegmentError, match=rf"cannot make shared memory in {missing}: .*; it must be"):
        Segment.create(prefix, LAYOUT)


def test_stale_segments_of_one_prefix_go_and_others_stay(prefix: str) -> None:
    ours, other = Segment.create(prefix + "a-", LAYOUT), Segment.create(prefix + "b-", LAYOUT)
    assert seg.remove_stale(prefix + "a-") == [ours.name]
    assert (SHM / other.name).exists()
    ours.close()
    other.close()
    other.unlink()


def test_closing_with_a_view_outstanding_keeps_the_view(prefix: str) -> None:
    made = Segment.create(prefix, LAYOUT)
    view = made.pixels(0)
    made.close()
    made.unlink()
    view[0] = 1
    assert view[0] == 1
    view.release()
