"""The styles in force: those in the box and the user's file, read again when that changes."""

from __future__ import annotations

import logging
from pathlib import Path

from limner.daemon.rulebook import Rule
from limner.daemon.style_file import StylesError, load, read

log = logging.getLogger("limner.daemon")
_Stamp = tuple[int, int, int] | None


class StyleWatch:
    """`styles` and `rules` are the last good ones; `problem`: what is wrong with the file as it is now."""

    def __init__(self, box: Path, own: Path) -> None:
        """Read both files; raises StylesError only for the one in the box."""
        self._box, self._own = load(box), own
        self.styles, self.rules, self.problem = self._box, list[Rule](), ""
        self._seen = self._read_at = _stamp(own)
        self._read()

    def poll(self) -> bool:
        """Look whether the file has changed (a `stat`, no more); True: there is news.

        An editor writes in several steps: the file is read when it has been the same for two looks.
        """
        stamp = _stamp(self._own)
        settled, self._seen = stamp == self._seen, stamp
        if stamp == self._read_at or not settled:
            return False
        self._read_at = stamp
        self._read()
        return True

    def _read(self) -> None:
        if self._read_at is None:
            self.styles, self.rules, self.problem = self._box, [], ""
            return
        try:
            self.styles, file = read(self._own, self._box)
        except StylesError as error:
            self.problem = f"{error}; the styles are as they were before"
            log.error("%s", self.problem)
            return
        self.rules, self.problem = file.rules, ""
        log.info("%s: %d styles in all, %d rules", self._own, len(self.styles.names), len(self.rules))


def _stamp(path: Path) -> _Stamp:
    try:
        info = path.stat()
    except OSError:
        return None
    return info.st_mtime_ns, info.st_size, info.st_ino
