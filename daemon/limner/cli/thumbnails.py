"""Small pictures of styles: one drawn (or given) picture, painted in each.

frames_HWC: uint8 RGBA at the session's working size.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, UnidentifiedImageError

from limner.cli.console import say
from limner.cli.errors import CliError
from limner.cli.private_daemon import private_daemon
from limner.cli.stream import wait_until_ready
from limner.daemon.client import NoDaemonError
from limner.daemon.client_link import probe
from limner.daemon.client_session import ClientSession, PaintedFrame, hello_for
from limner.daemon.paths import runtime_dir
from limner.daemon.protocol import Applied, Change, Error
from limner.daemon.styles import Style

SIZE = (640, 360)
WIDTH = 320
FPS = 30.0
# From the first frame in a new look until it has settled.
SETTLE_S = 1.0
TIMEOUT_S = 60.0

Frame = NDArray[np.uint8]


def paint(styles: Sequence[Style], source: Path | None, folder: Path) -> Iterator[Path]:
    """Paint each style and give the path of its picture; raises CliError."""
    picture = _drawn() if source is None else _opened(source)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CliError(f"cannot write to {folder}: {error.strerror}") from error
    with ExitStack() as stack:
        hello = hello_for("thumbnails", "demo", picture.size, FPS, Change(transition_ms=0))
        session = stack.enter_context(ClientSession(hello, _daemon(stack)))
        wait_until_ready(session, lambda _: None)
        size = (session.welcome.width, session.welcome.height)
        frame_HWC = np.asarray(picture.convert("RGBA").resize(size, Image.Resampling.LANCZOS))
        for style in styles:
            path = folder / f"{file_name(style.name)}.png"
            painted = Image.fromarray(_painted(session, style, frame_HWC)).convert("RGB")
            painted.thumbnail((WIDTH, WIDTH))
            painted.save(path)
            yield path


def file_name(style: str) -> str:
    """Return a style's name as one of a file."""
    return re.sub(r"[^\w.-]+", "-", style).strip("-.") or "style"


def _daemon(stack: ExitStack) -> Path:
    try:
        probe(runtime_dir())
        return runtime_dir()
    except NoDaemonError:
        say("no daemon is running: starting one for this")
        return stack.enter_context(private_daemon("pocket"))


def _painted(session: ClientSession, style: Style, frame_HWC: Frame) -> Frame:
    """Return the picture in a style, once the look has settled."""
    rev = time.monotonic_ns() // 1_000_000
    session.set(Change(style=style.name, bypass=False, transition_ms=0), session.welcome.session, rev=rev)
    deadline_s, due_s = time.monotonic() + TIMEOUT_S, time.monotonic()
    settled_ns = None
    while time.monotonic() < deadline_s:
        if time.monotonic() >= due_s:
            session.send_frame(frame_HWC.tobytes())
            due_s = max(due_s + 1 / FPS, time.monotonic())
        event = session.receive(max(0.0, due_s - time.monotonic()))
        if isinstance(event, Error):
            raise CliError(event.message)
        if isinstance(event, Applied) and event.rev == rev:
            settled_ns = event.pts_ns + int(SETTLE_S * 1e9)
        if isinstance(event, PaintedFrame):
            with event:
                if settled_ns is not None and event.pts_ns >= settled_ns:
                    return np.frombuffer(event.pixels, np.uint8).reshape(frame_HWC.shape).copy()
    raise CliError(f"style {style.name!r} was not painted within {TIMEOUT_S:g} s; see limner status")


def _opened(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise CliError(f"cannot read a picture in {path}: {error}") from error


def _drawn() -> Image.Image:
    """Return a face before hills and a low sun: skin, sky, edges, light and dark."""
    width, height = SIZE
    y_H1 = np.linspace(0, 1, height)[:, None, None]
    sky_HWC = (
        (1 - y_H1) * np.array([70, 120, 200]) + y_H1 * np.array([250, 200, 150]) + np.zeros((1, width, 1))
    )
    image = Image.fromarray(sky_HWC.astype(np.uint8))
    pen = ImageDraw.Draw(image)
    pen.ellipse((450, 60, 530, 140), fill=(255, 240, 190))
    pen.polygon(
        [(0, 300), (150, 170), (330, 290), (480, 200), (640, 310), (640, 360), (0, 360)], (60, 110, 70)
    )
    pen.polygon([(0, 340), (200, 280), (420, 330), (640, 290), (640, 360), (0, 360)], (40, 75, 50))
    pen.ellipse((215, 250, 425, 470), fill=(150, 50, 60))
    pen.ellipse((250, 85, 390, 265), fill=(225, 175, 145))
    pen.chord((244, 70, 396, 230), 180, 360, fill=(70, 45, 30))
    for x in (290, 350):
        pen.ellipse((x - 11, 158, x + 11, 172), fill=(250, 250, 250))
        pen.ellipse((x - 5, 159, x + 5, 171), fill=(40, 60, 80))
    pen.arc((290, 195, 350, 235), 20, 160, fill=(150, 60, 60), width=5)
    return image
