"""Shared-memory segments: a fixed header and N slots of pixels. The C side is plugin/src/segment.c.

Layout, little-endian, an all-zero header is invalid:

    offset 0     header, 64 bytes used of 4096: magic, abi, generation, slot_count, slot_stride, format,
                 width, height, direction (nine u32)
    offset 4096  slot 0, then one every slot_stride bytes: 64 bytes of slot header (sequence u64, pts_ns u64,
                 flags u32), then width × height × 4 bytes RGBA, rows without padding

Whoever opens a segment checks every number in it against the segment's real size before touching a pixel.
A slot is written by the side that owns it and handed over by a message, which is the memory barrier.
"""

from __future__ import annotations

import mmap
import os
import secrets
import struct
from dataclasses import dataclass
from pathlib import Path

MAGIC = int.from_bytes(b"LMNR", "little")
ABI = 1
FORMAT_RGBA8 = 1
DIRECTION_INPUT = 1
DIRECTION_OUTPUT = 2
BYTES_PER_PIXEL = 4
FIRST_SLOT_OFFSET = 4096
SLOT_HEADER_BYTES = 64
PAGE_BYTES = 4096
MAX_SLOTS = 256
MAX_SIDE = 8192

_HEADER = struct.Struct("<9I")
_SLOT_HEADER = struct.Struct("<QQI")
_SHM = Path("/dev/shm")


class SegmentError(Exception):
    """A segment that cannot be made or must not be touched; the message names it and the fault."""


@dataclass(frozen=True, kw_only=True)
class SegmentLayout:
    """The numbers in a segment's header. Sizes in bytes, sides in pixels."""

    generation: int
    slot_count: int
    width: int
    height: int
    direction: int

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame's pixels."""
        return self.width * self.height * BYTES_PER_PIXEL

    @property
    def slot_stride(self) -> int:
        """Bytes from one slot to the next: whole pages, so that a GPU can lock them."""
        return -(-(SLOT_HEADER_BYTES + self.frame_bytes) // PAGE_BYTES) * PAGE_BYTES

    @property
    def size_bytes(self) -> int:
        """Bytes of the whole segment."""
        return FIRST_SLOT_OFFSET + self.slot_count * self.slot_stride

    def pack(self) -> bytes:
        """Return the header's bytes."""
        return _HEADER.pack(
            MAGIC,
            ABI,
            self.generation,
            self.slot_count,
            self.slot_stride,
            FORMAT_RGBA8,
            self.width,
            self.height,
            self.direction,
        )

    @classmethod
    def unpack(cls, header: bytes | memoryview, *, real_size_bytes: int, name: str) -> SegmentLayout:
        """Read and check a header; raises SegmentError that says which number is wrong."""
        if real_size_bytes < FIRST_SLOT_OFFSET:
            raise SegmentError(f"segment {name}: {real_size_bytes} bytes cannot hold a header")
        magic, abi, generation, count, stride, pixel_format, width, height, direction = _HEADER.unpack_from(
            header
        )
        if magic != MAGIC:
            raise SegmentError(f"segment {name}: magic {magic:#x} is not Limner's")
        if abi != ABI:
            raise SegmentError(f"segment {name}: ABI {abi}, this is ABI {ABI}; update the older side")
        if pixel_format != FORMAT_RGBA8:
            raise SegmentError(f"segment {name}: unknown pixel format {pixel_format}")
        if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
            raise SegmentError(f"segment {name}: size {width}×{height} is out of range")
        if (
            not 1 <= count <= MAX_SLOTS
            or generation == 0
            or direction not in (DIRECTION_INPUT, DIRECTION_OUTPUT)
        ):
            raise SegmentError(
                f"segment {name}: {count} slots, generation {generation}, direction {direction}"
            )
        layout = cls(generation=generation, slot_count=count, width=width, height=height, direction=direction)
        if stride != layout.slot_stride or layout.size_bytes != real_size_bytes:
            raise SegmentError(
                f"segment {name}: header promises {count} slots of {stride} bytes, "
                f"the segment has {real_size_bytes} bytes"
            )
        return layout


class Segment:
    """A mapped segment. Make one with `create` or `open`; `close` unmaps, `unlink` removes the name."""

    def __init__(self, name: str, layout: SegmentLayout, mapping: mmap.mmap) -> None:
        self.name = name
        self.layout = layout
        self._map = mapping
        self._view = memoryview(mapping)

    @classmethod
    def create(cls, prefix: str, layout: SegmentLayout) -> Segment:
        """Make a private segment with an unguessable name; raises SegmentError when memory is short."""
        name = prefix + secrets.token_hex(16)
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            fd = os.open(_SHM / name, flags, 0o600)
        except OSError as error:
            raise SegmentError(
                f"cannot make shared memory in {_SHM}: {error.strerror}; "
                "it must be there and writable (mode 1777) for everyone"
            ) from error
        try:
            # Reserve the pages now: running out later would be a SIGBUS in the middle of a frame.
            os.posix_fallocate(fd, 0, layout.size_bytes)
            mapping = mmap.mmap(fd, layout.size_bytes)
        except OSError as error:
            (_SHM / name).unlink(missing_ok=True)
            raise SegmentError(
                f"not enough shared memory for {layout.size_bytes / 2**20:.1f} MiB "
                f"({layout.slot_count} frames of {layout.width}×{layout.height}): {error.strerror}; "
                "close another program or enlarge /dev/shm"
            ) from error
        finally:
            os.close(fd)
        segment = cls(name, layout, mapping)
        packed = layout.pack()
        segment._view[: len(packed)] = packed
        return segment

    @classmethod
    def open(cls, name: str) -> Segment:
        """Map an existing segment and check its header against its real size; raises SegmentError."""
        if "/" in name or not name.startswith("limner-"):
            raise SegmentError(f"{name!r} is not the name of a Limner segment")
        try:
            fd = os.open(_SHM / name, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            raise SegmentError(f"segment {name}: {error.strerror}") from error
        try:
            size = os.fstat(fd).st_size
            header = os.pread(fd, _HEADER.size, 0).ljust(_HEADER.size, b"\0")
            layout = SegmentLayout.unpack(header, real_size_bytes=size, name=name)
            return cls(name, layout, mmap.mmap(fd, size))
        finally:
            os.close(fd)

    @property
    def memory(self) -> memoryview:
        """All its bytes, header included; to be released before it is closed."""
        return self._view[:]

    def pixels(self, slot: int) -> memoryview:
        """Return the writable bytes of a slot's pixels, height × width × 4; raises SegmentError."""
        start = self._offset(slot) + SLOT_HEADER_BYTES
        return self._view[start : start + self.layout.frame_bytes]

    def write_slot_header(self, slot: int, *, sequence: int, pts_ns: int, flags: int = 0) -> None:
        """Note which frame the slot holds."""
        _SLOT_HEADER.pack_into(self._view, self._offset(slot), sequence, pts_ns, flags)

    def read_slot_header(self, slot: int) -> tuple[int, int, int]:
        """Return (sequence, pts_ns, flags) of the frame in the slot."""
        sequence, pts_ns, flags = _SLOT_HEADER.unpack_from(self._view, self._offset(slot))
        return sequence, pts_ns, flags

    def _offset(self, slot: int) -> int:
        if not 0 <= slot < self.layout.slot_count:
            raise SegmentError(f"segment {self.name}: no slot {slot}, it has {self.layout.slot_count}")
        return FIRST_SLOT_OFFSET + slot * self.layout.slot_stride

    def close(self) -> None:
        """Unmap. Views from `pixels` must be released before (an array over one keeps the memory mapped)."""
        self._view.release()
        try:
            self._map.close()
        except BufferError:
            # Somebody still holds a view: the mapping goes when the view does.
            return

    def unlink(self) -> None:
        """Remove the name; the memory goes when the last side unmaps. Harmless when it is gone already."""
        unlink_segment(self.name)


def unlink_segment(name: str) -> None:
    """Remove a segment by name; harmless when it is gone already."""
    (_SHM / name).unlink(missing_ok=True)


def remove_stale(prefix: str) -> list[str]:
    """Remove all segments under `prefix` (left by a crashed daemon) and return their names."""
    stale = sorted(path.name for path in _SHM.glob(f"{prefix}*"))
    for name in stale:
        unlink_segment(name)
    return stale
