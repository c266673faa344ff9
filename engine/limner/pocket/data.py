"""Procedural training video: seeded, endless, made of nothing but numbers and a few shipped pictures.

A clip is a moving background (a picture, a texture, a gradient) under a camera path, with dead-leaves
sprites (shapes, faces of ellipses, text, patches of pictures) on paths of their own, and then the camera's
faults: exposure drift, colour cast, defocus, sensor noise. `make_clip(seed, ...)` is a pure function of its
arguments.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from limner.pocket.pictures import PHOTOS, TEXTURES, Image, load_pictures

Rng = np.random.Generator
Array = NDArray[np.float32]

_WORDS = ("LIMNER", "live", "Hello", "42", "OBS", "paint", "NOW", "a b c", "stream", "?!", "2025", "news")


@dataclass(frozen=True, slots=True)
class Path:
    """Where a layer is at frame t: position in pixels, angle in radians, zoom as a factor."""

    x: Array
    y: Array
    angle: Array
    zoom: Array


def _colour(rng: Rng) -> Array:
    hsv = np.array([[[rng.uniform(0, 360), rng.beta(1.6, 1.6), rng.beta(2.0, 1.3)]]], np.float32)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0] * 255, np.float32)


def _drift(rng: Rng, frames: int, amplitude: float) -> Array:
    """A smooth scalar path that begins at 0: constant speed plus a slow oscillation."""
    t = np.arange(frames, dtype=np.float32)
    speed = rng.normal() * amplitude
    wave = rng.normal() * amplitude * 2 * np.sin(t * rng.uniform(0.1, 0.6) + rng.uniform(0, 6.3))
    return np.asarray(t * speed + wave - wave[0], np.float32)


def _path(rng: Rng, frames: int, x: float, y: float, speed: float) -> Path:
    spin = 0.03 if rng.random() < 0.4 else 0.003
    return Path(
        x=x + _drift(rng, frames, speed),
        y=y + _drift(rng, frames, speed * 0.6),
        angle=np.asarray(rng.normal() * 0.2 + _drift(rng, frames, spin), np.float32),
        zoom=np.exp(_drift(rng, frames, 0.006)).astype(np.float32),
    )


def _gradient(rng: Rng, height: int, width: int) -> Array:
    yy, xx = np.mgrid[0:height, 0:width].astype(np.float32)
    angle = rng.uniform(0, 2 * math.pi)
    ramp = (xx / width - 0.5) * math.cos(angle) + (yy / height - 0.5) * math.sin(angle) + 0.5
    if rng.random() < 0.3:
        ramp = np.hypot(xx / width - rng.random(), yy / height - rng.random())
    ramp = np.clip(ramp, 0, 1)[..., None]
    return np.asarray(_colour(rng) * (1 - ramp) + _colour(rng) * ramp, np.float32)


def _noise_texture(rng: Rng, height: int, width: int) -> Array:
    """Noise with a 1/f-like spectrum between two colours."""
    total = np.zeros((height, width), np.float32)
    roughness = rng.uniform(0.4, 0.8)
    for octave in range(1, 7):
        small = rng.normal(size=(2**octave + 1, 2**octave + 1)).astype(np.float32)
        total += roughness**octave * cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    ramp = np.clip(0.5 + total * rng.uniform(0.5, 1.5), 0, 1)[..., None]
    return np.asarray(_colour(rng) * (1 - ramp) + _colour(rng) * ramp, np.float32)


def _pattern(rng: Rng, height: int, width: int) -> Array:
    """Stripes, checks or dots."""
    yy, xx = np.mgrid[0:height, 0:width].astype(np.float32)
    period, angle = rng.uniform(6, 60), rng.uniform(0, math.pi)
    u = np.sin((xx * math.cos(angle) + yy * math.sin(angle)) * 2 * math.pi / period)
    v = np.sin((yy * math.cos(angle) - xx * math.sin(angle)) * 2 * math.pi / period)
    wave = (u, u * v, u + v - 0.8)[rng.integers(3)]
    mask = np.clip(wave * rng.uniform(1, 12) + 0.5, 0, 1)[..., None]
    return np.asarray(_colour(rng) * (1 - mask) + _colour(rng) * mask, np.float32)


def _picture(rng: Rng, height: int, width: int, photos: float = 0.75) -> Array:
    """A random crop of a shipped picture, mirrored and recoloured at random."""
    pool = load_pictures(PHOTOS) if rng.random() < photos else load_pictures(TEXTURES)
    image: Image = pool[rng.integers(len(pool))]
    h, w = image.shape[:2]
    scale = min(h / height, w / width) * rng.uniform(0.35, 1.0)
    ch, cw = max(8, int(height * scale)), max(8, int(width * scale))
    y, x = rng.integers(h - ch + 1), rng.integers(w - cw + 1)
    crop = image[y : y + ch, x : x + cw]
    method = cv2.INTER_AREA if scale > 1 else cv2.INTER_CUBIC
    out = cv2.resize(crop, (width, height), interpolation=method).astype(np.float32)
    if rng.random() < 0.5:
        out = out[:, ::-1]
    if rng.random() < 0.3:
        out = out[:, :, rng.permutation(3)]
    if rng.random() < 0.5:
        out = out * rng.uniform(0.6, 1.3, 3).astype(np.float32)
    return np.ascontiguousarray(np.clip(out, 0, 255))


_FILLS: tuple[Callable[[Rng, int, int], Array], ...] = (_picture, _noise_texture, _pattern, _gradient)


def _fill(rng: Rng, height: int, width: int, odds: tuple[float, ...]) -> Array:
    return _FILLS[rng.choice(len(_FILLS), p=odds)](rng, height, width)


def _polygon(rng: Rng, size: int) -> Array:
    mask = np.zeros((size, size), np.uint8)
    count = int(rng.integers(3, 9))
    turns = (
        np.sort(rng.uniform(0, 2 * math.pi, count))
        if rng.random() < 0.5
        else np.arange(count) * 6.283 / count
    )
    radius = rng.uniform(0.5, 1, count) if rng.random() < 0.5 else np.ones(count)
    points = np.stack([np.cos(turns), np.sin(turns)], 1) * radius[:, None] * size * 0.46 + size / 2
    cv2.fillPoly(mask, [points.astype(np.int32)], 255, cv2.LINE_AA)
    return mask.astype(np.float32)


def _round(rng: Rng, size: int) -> Array:
    mask = np.zeros((size, size), np.uint8)
    axes = (int(size * rng.uniform(0.2, 0.48)), int(size * rng.uniform(0.2, 0.48)))
    thickness = -1 if rng.random() < 0.8 else max(2, size // 12)
    cv2.ellipse(mask, (size // 2, size // 2), axes, rng.uniform(0, 180), 0, 360, 255, thickness, cv2.LINE_AA)
    return mask.astype(np.float32)


def _face(rng: Rng, size: int) -> tuple[Array, Array]:
    """A head of ellipses: hair, skin, eyes, brows, nose, mouth."""
    skin = np.array([rng.uniform(90, 250), 0, 0], np.float32)
    skin[1] = skin[0] * rng.uniform(0.65, 0.85)
    skin[2] = skin[1] * rng.uniform(0.65, 0.95)
    rgb = np.zeros((size, size, 3), np.uint8)
    mask = np.zeros((size, size), np.uint8)
    unit = size / 100

    def oval(x: float, y: float, rx: float, ry: float, colour: Array, *, head: bool = False) -> None:
        centre, axes = (int(x * unit), int(y * unit)), (max(1, int(rx * unit)), max(1, int(ry * unit)))
        cv2.ellipse(rgb, centre, axes, 0, 0, 360, colour.tolist(), -1, cv2.LINE_AA)
        if head:
            cv2.ellipse(mask, centre, axes, 0, 0, 360, 255, -1, cv2.LINE_AA)

    hair = _colour(rng) * rng.uniform(0.1, 0.7)
    oval(50, 92, 40, 25, _colour(rng), head=True)
    oval(50, 40, rng.uniform(28, 38), rng.uniform(32, 40), hair, head=True)
    oval(50, 48, 26, 34, skin, head=True)
    dark, white = hair * 0.3, np.full(3, 240, np.float32)
    eye_y, gap, eye = 42 + rng.normal(), rng.uniform(9, 13), rng.uniform(2.5, 4)
    iris = _colour(rng) * 0.5
    for side in (-1, 1):
        oval(50 + side * gap, eye_y - 6, 6, 1.3, dark)
        oval(50 + side * gap, eye_y, 5, eye, white)
        oval(50 + side * gap, eye_y, eye * 0.7, eye * 0.8, iris)
        oval(50 + side * gap, eye_y, eye * 0.3, eye * 0.35, dark * 0.2)
    oval(50, 55, 3, 5, skin * 0.85)
    oval(
        50,
        67,
        rng.uniform(6, 12),
        rng.uniform(1.5, 5),
        np.array([170, 60, 70], np.float32) * rng.uniform(0.6, 1.2),
    )
    light = np.linspace(rng.uniform(0.7, 1.2), rng.uniform(0.6, 1.1), size, dtype=np.float32)
    return np.clip(rgb * light[None, :, None], 0, 255).astype(np.float32), mask.astype(np.float32)


def _text(rng: Rng, size: int) -> Array:
    mask = np.zeros((size, size), np.uint8)
    word = _WORDS[rng.integers(len(_WORDS))]
    scale = size / (18.0 * len(word)) * 0.9
    cv2.putText(
        mask,
        word,
        (size // 20, size // 2),
        int(rng.integers(0, 5)),
        scale,
        255,
        max(1, int(scale * 2.5)),
        cv2.LINE_AA,
    )
    return mask.astype(np.float32)


def _sprite(rng: Rng, size: int) -> tuple[Array, Array]:
    """Colour [size, size, 3] and alpha [size, size], both 0..255."""
    kind = rng.random()
    if kind < 0.2:
        return _face(rng, size)
    rgb = _fill(rng, size, size, (0.35, 0.2, 0.15, 0.3))
    if kind < 0.3:
        return rgb, _text(rng, size)
    mask = _polygon(rng, size) if kind < 0.6 else _round(rng, size)
    if rng.random() < 0.3:
        shade = np.linspace(rng.uniform(0.4, 1.2), rng.uniform(0.4, 1.2), size, dtype=np.float32)
        rgb = np.clip(rgb * shade[:, None, None], 0, 255)
    return rgb, mask


def _background(rng: Rng, frames: int, height: int, width: int) -> NDArray[np.float32]:
    """A canvas larger than the frame under a camera path, as [T, H, W, 3]."""
    margin = 1.6
    ch, cw = int(height * margin), int(width * margin)
    canvas = _fill(rng, ch, cw, (0.72, 0.1, 0.06, 0.12))
    if rng.random() < 0.15:
        canvas = np.asarray(cv2.GaussianBlur(canvas, (0, 0), rng.uniform(1, 5)), np.float32)
    still = rng.random() < 0.25
    path = _path(rng, frames, cw / 2, ch / 2, 0.0 if still else rng.uniform(0.1, 1.2) * width / 160)
    out = np.empty((frames, height, width, 3), np.float32)
    for t in range(frames):
        angle = 0.0 if still else float(path.angle[t]) * 0.5
        zoom = 1.0 if still else float(path.zoom[t]) * 1.1
        c, s = math.cos(angle) * zoom, math.sin(angle) * zoom
        x, y = float(path.x[t]), float(path.y[t])
        matrix = np.array(
            [[c, -s, width / 2 - c * x + s * y], [s, c, height / 2 - s * x - c * y]], np.float32
        )
        cv2.warpAffine(canvas, matrix, (width, height), out[t], cv2.INTER_LINEAR, cv2.BORDER_REFLECT)
    return out


def _draw(frame: Array, rgba: Array, path: Path, t: int) -> None:
    """Blend a sprite (premultiplied RGBA in 0..255) into frame t in place."""
    x, y, angle, zoom = (float(values[t]) for values in (path.x, path.y, path.angle, path.zoom))
    height, width = frame.shape[:2]
    size = rgba.shape[0]
    reach = size * zoom * 0.75
    x0, x1 = max(0, int(x - reach)), min(width, int(x + reach) + 1)
    y0, y1 = max(0, int(y - reach)), min(height, int(y + reach) + 1)
    if x1 - x0 < 2 or y1 - y0 < 2:
        return
    c, s, half = math.cos(angle) * zoom, math.sin(angle) * zoom, size / 2
    matrix = np.array([[c, -s, x - x0 - (c - s) * half], [s, c, y - y0 - (s + c) * half]], np.float32)
    patch = cv2.warpAffine(rgba, matrix, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR)
    region = frame[y0:y1, x0:x1]
    region *= 1 - patch[..., 3:] / 255
    region += patch[..., :3]


def _add_sprites(rng: Rng, clip: NDArray[np.float32], count: int) -> None:
    frames, height, width = clip.shape[:3]
    for _ in range(count):
        size = int(np.clip(height * rng.lognormal(-1.1, 0.6), 10, height * 1.2))
        rgb, alpha = _sprite(rng, size)
        rgba = np.concatenate([rgb * (alpha[..., None] / 255), alpha[..., None]], 2)
        speed = 0.0 if rng.random() < 0.3 else rng.uniform(0.2, 2.0) * width / 160
        path = _path(rng, frames, rng.uniform(0, width), rng.uniform(0, height), speed)
        for t in range(frames):
            _draw(clip[t], rgba, path, t)


def _camera_faults(rng: Rng, clip: NDArray[np.float32]) -> NDArray[np.uint8]:
    frames = clip.shape[0]
    if rng.random() < 0.3:
        gain = np.exp(_drift(rng, frames, 0.01) + rng.normal() * 0.2)
        clip *= gain[:, None, None, None]
    if rng.random() < 0.15:
        sigma = rng.uniform(0.5, 1.5)
        for t in range(frames):
            clip[t] = cv2.GaussianBlur(clip[t], (0, 0), sigma)
    if rng.random() < 0.4:
        level = rng.uniform(1, 6)
        field = rng.standard_normal(size=clip[:1].size + 4096, dtype=np.float32) * level
        for t in range(frames):  # a window into one long noise field: as good as fresh noise, and far cheaper
            start = int(rng.integers(4096))
            clip[t] += field[start : start + clip[0].size].reshape(clip[0].shape)
    faulty: NDArray[np.uint8] = np.clip(clip + 0.5, 0, 255).astype(np.uint8)
    return faulty


def make_clip(seed: int, frames: int, height: int, width: int) -> NDArray[np.uint8]:
    """One clip [T, H, W, 3] RGB; the same arguments give the same bytes. Every twelfth or so has a cut."""
    rng = np.random.default_rng(seed)
    clip = _background(rng, frames, height, width)
    crowd = (0, 3, 8, 25)[rng.choice(4, p=(0.25, 0.4, 0.25, 0.1))]
    _add_sprites(rng, clip, int(rng.integers(crowd + 1)) if crowd else 0)
    if rng.random() < 0.08:
        cut = int(rng.integers(1, frames))
        clip[cut:] = _background(rng, frames, height, width)[cut:]
    return _camera_faults(rng, clip)
