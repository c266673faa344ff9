"""The teachers of pocket's styles: classical painterly filters, pure functions of clips.

Smooth responses and nothing random, and what stands still is filtered in time, so that a steady input gives
a steady output. Sizes are in pixels at the working resolution (about 320×192). Frames are uint8 RGB
[H, W, 3]; inside, float32 in 0..1.
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
    """Soft dark strokes and a little shading on light paper."""
    grey = _blur(_luma(rgb), 1.0)
    dodge = np.clip((grey + 0.06) / (_blur(grey, 5.0) + 0.06), 0, 1)
    tone = np.asarray(0.62 * dodge**2.5 + 0.22 * np.clip(0.4 + 0.6 * grey, 0, 1) + 0.14, np.float32)
    return np.asarray(tone[..., None] * np.array([0.98, 0.96, 0.91], np.float32), np.float32)


def neon(rgb: Picture) -> Picture:
    """Glowing tubes along the edges, in the dark."""
    grey = _luma(rgb)
    line = np.clip(_edges(grey, 1.4) * 1.3 - 0.04, 0, 1)
    tint = _gradient_map(_blur(grey, 3.0), [(255, 20, 190), (120, 60, 255), (0, 240, 255)])
    glow = tint * (0.8 * line + 1.2 * _blur(line, 3.0))[..., None]
    dim = grey[..., None] * np.array([0.20, 0.05, 0.38], np.float32) + np.array([0.02, 0.0, 0.07], np.float32)
    return np.asarray(glow + dim, np.float32)


def noir(rgb: Picture) -> Picture:
    """Deep shadows and silver lights."""
    grey = _blur(_luma(rgb), 0.7)
    local = 0.5 * 0.48 + 0.5 * _blur(grey, 24.0)
    tone = _sigmoid(grey - local, 0.06, 7.0) * 1.06 - 0.05
    return np.asarray(tone[..., None] * np.array([0.96, 0.98, 1.0], np.float32), np.float32)


def cartoon(rgb: Picture) -> Picture:
    """Flat, bright, candy colours inside soft dark outlines."""
    flat = _kuwahara(rgb, 4)
    grey = _luma(flat)
    scaled = np.clip(grey, 0, 1) * 3.0
    step = np.floor(scaled)
    level = (step + _sigmoid(scaled - step, 0.5, 6.0)) / 3.0
    light = 0.34 + 0.66 * (0.5 * level + 0.5 * grey)
    colours = np.clip(light[..., None] + (flat - grey[..., None]) * 2.3, 0, 1)
    ink = 0.9 * _sigmoid(_edges(_luma(rgb), 1.2), 0.34, 10.0)[..., None]
    return np.asarray(colours * (1 - ink) + np.array([0.10, 0.04, 0.20], np.float32) * ink, np.float32)


def watercolor(rgb: Picture) -> Picture:
    """Pale washes on white paper, darker where they end."""
    wash = _blur(_kuwahara(rgb, 5), 1.0)
    grey = _luma(wash)
    pale = 1 - (1 - _saturate(wash, 1.7)) * 0.5
    rim = np.clip(_edges(grey, 1.5) * 0.3, 0, 0.25)[..., None]
    cool = np.array([0.94, 1.0, 1.04], np.float32)
    return np.asarray(pale * cool - rim * np.array([0.8, 0.7, 0.5], np.float32), np.float32)


def _toned(rgb: Picture, stops: Sequence[tuple[int, int, int]], contrast: float, own: float) -> Picture:
    """Colour by lightness, with `contrast` around the middle and a share `own` of the input's colours."""
    grey = np.clip((_luma(rgb) - 0.5) * contrast + 0.5, 0, 1).astype(np.float32)
    return np.asarray((1 - own) * _gradient_map(grey, stops) + own * rgb, np.float32)


def vaporwave(rgb: Picture) -> Picture:
    """Purple shadows, hot pink middle, cyan lights."""
    stops = [(35, 5, 80), (140, 20, 160), (255, 70, 190), (120, 190, 255), (190, 255, 250)]
    return _toned(rgb, stops, 1.15, 0.1)


def sunset(rgb: Picture) -> Picture:
    """Everything in the light of a low sun: deep reds to gold."""
    stops = [(30, 5, 40), (130, 15, 60), (235, 70, 40), (255, 150, 60), (255, 230, 170)]
    return _toned(rgb, stops, 1.1, 0.15)


def cyanotype(rgb: Picture) -> Picture:
    """A blueprint: Prussian blue to white."""
    return _toned(rgb, [(4, 14, 60), (15, 60, 140), (90, 150, 205), (235, 245, 250)], 1.15, 0.0)


def sepia(rgb: Picture) -> Picture:
    """An old photograph: brown, cream, a little faded."""
    return _toned(rgb, [(48, 28, 16), (120, 82, 52), (192, 154, 110), (248, 230, 196)], 1.0, 0.05)


def pop_art(rgb: Picture) -> Picture:
    """Screen print in loud inks: violet, crimson, yellow."""
    smooth = _blur(_kuwahara(rgb, 3), 0.6)
    return _toned(smooth, [(50, 15, 150), (225, 25, 120), (255, 205, 30), (255, 246, 190)], 1.1, 0.0)


def emerald(rgb: Picture) -> Picture:
    """Deep forest greens under pale light."""
    return _toned(rgb, [(2, 22, 26), (0, 92, 74), (70, 180, 100), (232, 250, 190)], 1.1, 0.1)


def moonlight(rgb: Picture) -> Picture:
    """Night: little colour, blue dark, lights that bloom."""
    muted = _saturate(rgb, 0.45)
    night = muted**1.5 * np.array([0.42, 0.56, 0.86], np.float32)
    bloom = _blur(np.clip(_luma(rgb) - 0.6, 0, 1), 6.0)[..., None] * np.array([0.5, 0.6, 0.7], np.float32)
    return np.asarray(night + bloom + np.array([0.0, 0.015, 0.06], np.float32), np.float32)


STYLES: dict[str, Callable[[Picture], Picture]] = {
    "oil painting": oil_painting,
    "pencil sketch": pencil_sketch,
    "neon": neon,
    "noir": noir,
    "cartoon": cartoon,
    "watercolor": watercolor,
    "vaporwave": vaporwave,
    "sunset": sunset,
    "cyanotype": cyanotype,
    "sepia": sepia,
    "pop art": pop_art,
    "emerald": emerald,
    "moonlight": moonlight,
}

_COLOURS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "warm": ((1.10, 0.98, 0.72), (0.06, 0.01, 0.0)),
    "cold": ((0.74, 0.96, 1.12), (0.0, 0.01, 0.06)),
    "dark": ((0.5, 0.5, 0.5), (0.0, 0.0, 0.0)),
    "bright": ((0.85, 0.85, 0.85), (0.22, 0.22, 0.22)),
    "red": ((1.0, 0.5, 0.5), (0.16, 0.0, 0.0)),
    "green": ((0.55, 1.0, 0.5), (0.0, 0.12, 0.0)),
    "blue": ((0.5, 0.6, 1.0), (0.0, 0.0, 0.16)),
    "purple": ((0.75, 0.5, 0.95), (0.08, 0.0, 0.12)),
}
_SATURATIONS = {"vivid": 1.8, "muted": 0.35}
MOODS = (*_COLOURS, *_SATURATIONS)
"""Words that recolour whatever the style makes."""


STEADY = 0.7
"""Share of the last taught frame that stays where the source did not change at all."""
CHANGE = 0.02
"""Change of the (smoothed) source, 0..1, that makes a place count as moving."""


def _in_mood(picture: Picture, mood: str) -> Picture:
    if mood in _SATURATIONS:
        return _limited(_saturate(picture, _SATURATIONS[mood]))
    gain, lift = _COLOURS[mood]
    return _limited(picture * np.array(gain, np.float32) + np.array(lift, np.float32))


def teach_frame(frame: Frame, style: str | None, moods: Sequence[str] = ()) -> Picture:
    """One frame as `style` (None leaves it), then `moods` would have it, 0..1; KeyError for unknown names."""
    picture: Picture = np.divide(frame, 255, dtype=np.float32)
    if style is not None:
        picture = _limited(STYLES[style](picture))
    for mood in moods:
        picture = _in_mood(picture, mood)
    return picture


def _stillness(before: Picture, now: Picture) -> Picture:
    """1 where two smoothed frames [H, W, 3] are the same, towards 0 where they differ, [H, W, 1]."""
    change = np.abs(now - before).max(2, keepdims=True)
    return np.asarray(np.exp(-np.square(change / CHANGE)), np.float32)


def teach(frames_THWC: NDArray[np.uint8], style: str | None, moods: Sequence[str] = ()) -> NDArray[np.uint8]:
    """A whole clip [T, H, W, 3] as its teacher would have it.

    Where the source stands still, so does the teacher: each frame keeps a share of the last one there, so
    that sensor noise fades and is not painted.
    """
    out = np.empty_like(frames_THWC)
    last: tuple[Picture, Picture] | None = None
    for t, frame in enumerate(frames_THWC):
        taught = teach_frame(frame, style, moods)
        smooth = _blur(np.divide(frame, 255, dtype=np.float32), 2.0)
        if last is not None:
            taught = taught + STEADY * _stillness(last[0], smooth) * (last[1] - taught)
        last = smooth, taught
        out[t] = (taught * 255 + 0.5).astype(np.uint8)
    return out
