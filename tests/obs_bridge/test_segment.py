"""The filter opens what the daemon makes, and nothing that lies."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from limner.daemon.segment import DIRECTION_INPUT, DIRECTION_OUTPUT, Segment, SegmentLayout, unlink_segment

PREFIX = f"limner-test-{os.getpid()}-"
LAYOUT = SegmentLayout(generation=9, slot_count=3, width=33, height=17, direction=DIRECTION_OUTPUT)
Ask = Callable[..., str]


@pytest.fixture
def segment() -> Iterator[Segment]:
    made = Segment.create(PREFIX, LAYOUT)
    yield made
    made.unlink()
    made.close()


@pytest.fixture
def ask(tools: Path, tool_environment: dict[str, str]) -> Ask:
    def ask_tool(name: str, layout: SegmentLayout = LAYOUT, size_bytes: int | None = None) -> str:
        size = layout.size_bytes if size_bytes is None else size_bytes
        line = f"{name} {size} {layout.generation} {layout.slot_count} {layout.width} {layout.height}"
        done = subprocess.run(
            [tools / "segment_tool"],
            input=f"{line} {layout.direction}\n",
            env=tool_environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return ask_tool


def _changed(**changes: int) -> SegmentLayout:
    fields = {name: getattr(LAYOUT, name) for name in SegmentLayout.__dataclass_fields__}
    return SegmentLayout(**(fields | changes))


def test_pixels_and_headers_are_shared(segment: Segment, ask: Ask) -> None:
    for slot in range(3):
        segment.pixels(slot)[:] = bytes([slot + 1]) * LAYOUT.frame_bytes
    assert ask(segment.name) == f"ok {6 * LAYOUT.frame_bytes}"
    for slot in range(3):
        assert bytes(segment.pixels(slot)) == bytes([slot + 1]) * LAYOUT.frame_bytes
        assert segment.read_slot_header(slot) == (1000 + slot, 0x1122334455667788 + slot, 0)


@pytest.mark.parametrize(
    ("promise", "named"),
    [
        (_changed(generation=8), "generation 8"),
        (_changed(slot_count=4), "4 slots"),
        (_changed(width=34), "34×17"),
        (_changed(height=16), "33×16"),
        (_changed(direction=DIRECTION_INPUT), "direction 2"),
    ],
)
def test_message_and_header_must_agree(
    promise: SegmentLayout, named: str, segment: Segment, ask: Ask
) -> None:
    answer = ask(segment.name, promise)
    assert answer.startswith(f"error segment {segment.name}: ")
    assert named in answer


def test_promised_size_must_be_the_real_one(segment: Segment, ask: Ask) -> None:
    assert ask(segment.name, size_bytes=LAYOUT.size_bytes + 4096).startswith("error segment")


@pytest.mark.parametrize(
    ("word", "value", "named"),
    [
        (0, 0, "magic"),
        (1, 2, "ABI 2"),
        (1, 0, "ABI 0"),
        (2, 0, "generation 0"),
        (3, 0, "0 slots"),
        (3, 257, "257 slots"),
        (3, 4, "promises 4 slots"),
        (4, 4096 * 2, "of 8192 bytes"),
        (4, 0, "of 0 bytes"),
        (4, 2**32 - 1, "of 4294967295 bytes"),
        (5, 7, "pixel format 7"),
        (6, 0, "size 0×17"),
        (6, 8193, "size 8193×17"),
        (7, 2**32 - 1, "size 33×4294967295"),
        (7, 8192, "promises 3 slots"),
        (8, 3, "direction 3"),
    ],
)
def test_lying_header_is_refused(word: int, value: int, named: str, segment: Segment, ask: Ask) -> None:
    path = Path("/dev/shm") / segment.name
    with path.open("r+b") as file:
        file.seek(word * 4)
        file.write(struct.pack("<I", value))
    answer = ask(segment.name)
    assert answer.startswith(f"error segment {segment.name}: ")
    assert named in answer


@pytest.mark.parametrize("size", [0, 20, 4095, 4096, LAYOUT.size_bytes - 1])
def test_short_segment_is_refused(size: int, segment: Segment, ask: Ask) -> None:
    os.truncate(Path("/dev/shm") / segment.name, size)
    assert str(size) in ask(segment.name)


def test_all_zero_segment_is_refused(ask: Ask) -> None:
    name = PREFIX + "zero"
    (Path("/dev/shm") / name).write_bytes(bytes(LAYOUT.size_bytes))
    try:
        assert "magic 0" in ask(name)
    finally:
        unlink_segment(name)


@pytest.mark.parametrize(
    "name", ["limner-nothing-there", "passwd", "../etc/passwd", "limner-/../x", "limner-" + "x" * 400]
)
def test_strange_names_are_refused(name: str, ask: Ask) -> None:
    assert ask(name).startswith("error segment ")


def test_link_to_elsewhere_is_refused(tmp_path: Path, ask: Ask) -> None:
    name = PREFIX + "link"
    (tmp_path / "target").write_bytes(bytes(LAYOUT.size_bytes))
    (Path("/dev/shm") / name).symlink_to(tmp_path / "target")
    try:
        assert ask(name).startswith("error segment ")
    finally:
        unlink_segment(name)
