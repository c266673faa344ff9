"""Pictures of what a creator reads in OBS, in every language: the filter's page, and its hotkeys.

    python -m tests.end_to_end.pages [LANGUAGE…]

writes build/pages/filter-LANGUAGE.png and hotkeys-LANGUAGE.png, for a person to look at: is nothing cut off,
nothing untranslated? Needs what `bash installer/test.sh` sets up, and openbox.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import ImageGrab
from tests.end_to_end.harness import clips
from tests.end_to_end.harness.builds import CACHE, ROOT, Build, built
from tests.end_to_end.harness.cameras import CAMERA, Camera
from tests.end_to_end.harness.obs import Obs
from tests.end_to_end.harness.waiting import wait_for
from tests.support.daemon import RunningDaemon, running_daemon

from limner.installer import obs_process

LANGUAGES = sorted(path.stem for path in (ROOT / "obs_bridge/plugin/data/locale").glob("*.ini"))
PICTURES = ROOT / "build" / "pages"
WIDTH, HEIGHT, TITLE = 1280, 1700, 40
# Of OBS's settings, from the top: general, stream, output, audio, video, hotkeys.
HOTKEYS_PAGE = 5
# The file menu's entry, from the top: the folder of recordings, remuxing, settings.
SETTINGS_ENTRY = 3
# Where things are in windows of that size: x, y; of the edge between picture and page x, from y, to y.
FILTER = (100, 900)
PREVIEW_EDGE = (771, 782, 60)
FILE_MENU = (15, 10)
FIRST_PAGE = (60, 30)
HOTKEYS_SEARCH = (455, 28)
PATIENCE_S = 30


class Screen:
    """The windows, mouse and keyboard of a display."""

    def __init__(self, display: str) -> None:
        self._display = display
        self._environment = os.environ | {"DISPLAY": display}

    def do(self, *command: str) -> str:
        """Run xdotool and return what it prints; nothing when it found nothing."""
        done = subprocess.run(
            ["xdotool", *command], env=self._environment, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    def windows(self) -> dict[str, str]:
        """Return the visible windows that have a name: its id by its name."""
        ids = self.do("search", "--onlyvisible", "--name", ".").split()
        return {name: number for number in ids if (name := self.do("getwindowname", number))}

    def wait_other(self, known: dict[str, str]) -> str:
        """Return the id of a window that was not there before."""
        found: list[str] = []

        def look() -> bool:
            found[:] = [number for name, number in self.windows().items() if name not in known]
            return bool(found)

        wait_for("another window", look, PATIENCE_S)
        return found[0]

    def fill(self, window: str) -> None:
        """Make a window as large as the screen."""
        self.do("windowsize", "--sync", window, str(WIDTH), str(HEIGHT - TITLE))
        self.do("windowmove", window, "0", "0")
        self.do("windowactivate", "--sync", window)

    def close(self, window: str) -> None:
        """Close a window as a person does."""
        self.do("windowactivate", "--sync", window)
        self.do("key", "alt+F4")
        wait_for("a window's end", lambda: window not in self.windows().values(), PATIENCE_S)

    def click(self, window: str, x: int, y: int) -> None:
        """Click at a place in a window."""
        self.do("mousemove", "--window", window, str(x), str(y), "click", "1")

    def drag(self, window: str, x: int, from_y: int, to_y: int) -> None:
        """Take hold of something in a window and bring it up or down."""
        self.do("mousemove", "--window", window, str(x), str(from_y), "mousedown", "1")
        for y in range(from_y, to_y, -10 if to_y < from_y else 10):
            self.do("mousemove", "--window", window, str(x), str(y))
            time.sleep(0.02)
        self.do("mouseup", "1")

    def save(self, name: str) -> None:
        """Write what is to be seen, once it has come to rest."""
        time.sleep(1)
        PICTURES.mkdir(parents=True, exist_ok=True)
        ImageGrab.grab(xdisplay=self._display).save(PICTURES / f"{name}.png")
        print(PICTURES / f"{name}.png")


@contextmanager
def window_manager(display: str) -> Iterator[None]:
    """Run openbox: without one, no window ever has the keyboard."""
    process = subprocess.Popen(["openbox"], env=os.environ | {"DISPLAY": display})
    try:
        yield
    finally:
        obs_process.end_process(process)


def picture_filter(obs: Obs, screen: Screen, language: str) -> None:
    known = screen.windows()
    obs.vendor("SetStrength", strength=0.8)
    obs.request("OpenInputFiltersDialog", inputName=CAMERA)
    window = screen.wait_other(known)
    time.sleep(2)  # what is made larger before its parts are there has them at the wrong place
    screen.fill(window)
    # A window that is made active shows the filters for sound, of which there are none.
    screen.click(window, *FILTER)
    time.sleep(1)
    screen.drag(window, *PREVIEW_EDGE)
    time.sleep(4)  # the receipt comes to the page when the hands rest
    screen.save(f"filter-{language}")
    screen.close(window)


def picture_hotkeys(screen: Screen, language: str) -> None:
    known = screen.windows()
    main = next(number for name, number in known.items() if name.startswith("OBS "))
    screen.do("windowactivate", "--sync", main)
    screen.click(main, *FILE_MENU)
    screen.do("key", "--delay", "100", *["Down"] * SETTINGS_ENTRY, "Return")
    window = screen.wait_other(known)
    screen.fill(window)
    screen.click(window, *FIRST_PAGE)
    screen.do("key", "--delay", "100", *["Down"] * HOTKEYS_PAGE)
    screen.click(window, *HOTKEYS_SEARCH)
    screen.do("type", "Limner")
    screen.save(f"hotkeys-{language}")
    screen.close(window)


def picture(build: Build, raw_file: Path, daemon: RunningDaemon, language: str) -> None:
    camera = Camera(
        name=CAMERA,
        raw_file=raw_file,
        limner={"start_daemon": False},
        hotkeys={"limner.next_style": "OBS_KEY_F1", "limner.panic": "OBS_KEY_F12"},
    )
    with (
        Obs(
            build,
            (camera,),
            runtime_dir=daemon.runtime_dir,
            language=language,
            geometry=f"{WIDTH}x{HEIGHT}x24",
        ) as obs,
        window_manager(obs.display),
    ):
        obs.wait_painted()
        screen = Screen(obs.display)
        picture_filter(obs, screen, language)
        picture_hotkeys(screen, language)
        obs.kill()  # its windows may have questions


def main(languages: list[str]) -> None:
    raw_file = clips.raw_frames(clips.clip("bikes"), CACHE / "clips" / "bikes.yuv")
    with tempfile.TemporaryDirectory() as folder, running_daemon("pocket", threads=1) as daemon:
        build = built(Path(folder))
        daemon.wait_ready()
        for language in languages:
            picture(build, raw_file, daemon, language)


if __name__ == "__main__":
    main(sys.argv[1:] or LANGUAGES)
