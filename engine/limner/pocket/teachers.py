"""The teachers of pocket's styles: classical painterly filters, pure functions of single frames.

Each frame is filtered by itself, with smooth responses and nothing random, so that a steady input gives a
steady output. Sizes are in pixels at the working resolution (about 320×192). Frames are uint8 RGB [H, W, 3];
inside, float32 in 0..1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]
Picture = NDArray[np.float32]


def _luma(rgb: Picture) -> Picture:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.float32)


def _limited(x: Picture) -> Picture:
    return np.clip(x, 0, 1).astype(np.float32, copy=False)


def _blur(x: Picture, sigma: float) -> Picture:
    return np.asarray(cv2.GaussianBlur(x, (0, 0), sigma), np.float32)


def _saturate(rgb: Picture, factor: float) -> Picture:
    grey = _luma(rgb)[..., None]
    return np.asarray(grey + (rgb - grey) * factor, np.float32)


def _sigmoid(x: Picture, centre: float, steepness: float) -> Picture:
    return np.asarray(1 / (1 + np.exp(-(x - centre) * steepness)), np.float32)


def _edges(grey: Picture, sigma: float) -> Picture:
    """Strength of edges at one scale, about 0..1 for strong ones."""
    smooth = _blur(grey, sigma)
    gx, gy = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    return np.asarray(cv2.magnitude(gx, gy), np.float32)


def _kuwahara(rgb: Picture, radius: int) -> Picture:
    """Four windows with the pixel in a corner, weighted towards the least varied: daubs with firm borders."""
    size, border = (radius + 1, radius + 1), cv2.BORDER_REPLICATE
    grey = _luma(rgb)
    total, weights = np.zeros_like(rgb), np.zeros_like(grey)
    for anchor in ((0, 0), (radius, 0), (0, radius), (radius, radius)):
        average = cv2.blur(grey, size, anchor=anchor, borderType=border)
        variance = cv2.blur(grey * grey, size, anchor=anchor, borderType=border) - average * average
        weight = (1 / (np.maximum(variance, 0) + 2e-4)) ** 3
        total += cv2.blur(rgb, size, anchor=anchor, borderType=border) * weight[..., None]
        weights += weight
    return np.asarray(total / weights[..., None], np.float32)


def _gradient_map(grey: Picture, stops: Sequence[tuple[int, int, int]]) -> Picture:
    """Colour by lightness, through evenly spaced stops."""
    table = np.array(stops, np.float32) / 255
    position = np.linspace(0, 1, len(stops))
    fine = np.linspace(0, 1, 256)
    lut = np.stack([np.interp(fine, position, table[:, c]) for c in range(3)], 1).astype(np.float32)
    return np.asarray(lut[np.clip(grey * 255, 0, 255).astype(np.uint8)], np.float32)


def oil_painting(rgb: Picture) -> Picture:
    """Thick daubs in warm, rich colour."""
    daubs = _saturate(_kuwahara(rgb, 5), 1.7)
    warm = daubs * np.array([1.12, 0.95, 0.66], np.float32) + np.array([0.10, 0.04, 0.0], np.float32)
    return np.asarray(warm, np.float32)


def pencil_sketch(rgb: Picture) -> Picture:
    """Dark strokes on light paper."""
    grey = _luma(rgb)
    dodge = np.clip(grey / (_blur(grey, 4.0) + 0.03), 0, 1)
    tone = np.asarray(0.75 * dodge**3 + 0.25 * np.clip(0.55 + 0.5 * grey, 0, 1), np.float32)
    return np.asarray(tone[..., None] * np.array([0.97, 0.96, 0.92], np.float32), np.float32)


def neon(rgb: Picture) -> Picture:
    """Glowing coloured edges in the dark."""
    grey = _luma(rgb)
    line = np.clip(_edges(grey, 0.8) * 0.9, 0, 1) ** 0.8
    smooth = _blur(rgb, 3.0)
    hue = smooth / (smooth.max(2, keepdims=True) + 0.05)
    hue = np.clip(_saturate(hue.astype(np.float32), 2.2), 0, 1)
    tint = 0.45 * hue + 0.55 * _gradient_map(_blur(grey, 3.0), [(255, 0, 200), (60, 60, 255), (0, 255, 230)])
    glow = tint * (line + 1.4 * _blur(line, 3.0))[..., None]
    return np.asarray(glow + rgb * np.array([0.05, 0.04, 0.12], np.float32), np.float32)


def noir(rgb: Picture) -> Picture:
    """Hard black and white."""
    grey = _blur(_luma(rgb), 0.8)
    local = 0.35 * 0.5 + 0.65 * _blur(grey, 24.0)
    hard = _sigmoid(grey - local, 0.02, 18.0) * 0.92 + 0.02
    return np.repeat(hard[..., None], 3, 2)


def cartoon(rgb: Picture) -> Picture:
    """Flat bright colours inside dark outlines."""
    flat = _kuwahara(rgb, 4)
    grey = _luma(flat)
    levels = 4.0
    scaled = np.clip(grey, 0, 1) ** 0.75 * levels
    step = np.floor(scaled)
    quantised = (step + _sigmoid(scaled - step, 0.5, 10.0)) / levels
    bright = flat * (quantised / (grey + 0.04))[..., None]
    colours = np.clip(_saturate(bright.astype(np.float32), 2.1) * 1.1 + 0.05, 0, 1)
    ink = _sigmoid(_edges(_luma(_blur(rgb, 0.6)), 0.7), 0.45, 14.0)[..., None]
    return np.asarray(colours * (1 - ink) + np.array([0.05, 0.03, 0.10], np.float32) * ink, np.float32)


def watercolor(rgb: Picture) -> Picture:
    """Pale washes on white paper, darker where they end."""
    wash = _blur(_kuwahara(rgb, 5), 1.0)
    grey = _luma(wash)
    pale = 1 - (1 - _saturate(wash, 1.5)) * 0.5
    rim = np.clip(_edges(grey, 1.5) * 0.35, 0, 0.3)[..., None]
    cool = np.array([0.93, 1.0, 1.05], np.float32)
    return np.asarray(pale * cool - rim * np.array([0.8, 0.7, 0.5], np.float32), np.float32)


def vaporwave(rgb: Picture) -> Picture:
    """Purple shadows, hot pink middle, cyan lights."""
    grey = np.clip((_luma(rgb) - 0.5) * 1.15 + 0.5, 0, 1)
    mapped = _gradient_map(
        grey.astype(np.float32),
        [(35, 5, 80), (140, 20, 160), (255, 70, 190), (120, 190, 255), (190, 255, 250)],
    )
    return np.asarray(0.9 * mapped + 0.1 * rgb, np.float32)


def sunset(rgb: Picture) -> Picture:
    """Everything in the light of a low sun: deep reds to gold."""
    grey = np.clip((_luma(rgb) - 0.5) * 1.1 + 0.5, 0, 1)
    mapped = _gradient_map(
        grey.astype(np.float32), [(30, 5, 40), (130, 15, 60), (235, 70, 40), (255, 150, 60), (255, 230, 170)]
    )
    return np.asarray(0.85 * mapped + 0.15 * rgb, np.float32)


STYLES: dict[str, Callable[[Picture], Picture]] = {
    "oil painting": oil_painting,
    "pencil sketch": pencil_sketch,
    "neon": neon,
    "noir": noir,
    "cartoon": cartoon,
    "watercolor": watercolor,
    "vaporwave": vaporwave,
    "sunset": sunset,
}

_COLOURS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "warm": ((1.10, 0.98, 0.72), (0.06, 0.01, 0.0)),
    "cold": ((0.74, 0.96, 1.12), (0.0, 0.01, 0.06)),
    "dark": ((0.5, 0.5, 0.5), (0.0, 0.0, 0.0)),
    "bright": ((0.85, 0.85, 0.85), (0.22, 0.22, 0.22)),
    "red": ((1.0, 0.5, 0.5), (0.16, 0.0, 0.0)),
    "green": ((0.55, 1.0, 0.5), (0.0, 0.12, 0.0)),
    "blue": ((0.5, 0.6, 1.0), (0.0, 0.0, 0.16)),
}
MOODS = tuple(_COLOURS)
"""Words that recolour whatever the style makes."""


def teach_frame(frame: Frame, style: str | None, moods: Sequence[str] = ()) -> Frame:
    """One frame as `style` (None leaves it) and then `moods` would have it; KeyError for unknown names."""
    picture: Picture = np.divide(frame, 255, dtype=np.float32)
    if style is not None:
        picture = _limited(STYLES[style](picture))
    for mood in moods:
        gain, lift = _COLOURS[mood]
        picture = _limited(np.asarray(picture * np.array(gain) + np.array(lift), np.float32))
    return (picture * 255 + 0.5).astype(np.uint8)


def teach(frames_THWC: NDArray[np.uint8], style: str | None, moods: Sequence[str] = ()) -> NDArray[np.uint8]:
    """A whole clip [T, H, W, 3] as its teacher would have it."""
    return np.stack([teach_frame(frame, style, moods) for frame in frames_THWC])
