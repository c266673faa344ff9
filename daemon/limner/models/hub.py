"""Where the files of models come from, as seen by those who fetch them. A folder can stand for the hub."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Protocol

from limner.models.entry import Part, PartName
from limner.models.errors import HubError

Advance = Callable[[int], None]
"""Called with bytes that are done; raises CancelledError when somebody wants to stop."""


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """One file as its publisher describes it."""

    path: str
    """In the repository."""
    size_bytes: int
    sha256: str = ""
    """Empty: not published."""
    git_id: str = ""
    """Git's own SHA-1 of the file, where it is kept in git itself. Empty: not published."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What a repository holds at one commit."""

    commit: str
    files: tuple[RemoteFile, ...]
    licence: str = ""
    """As the model card says. Empty: it does not."""


class Hub(Protocol):
    """Lists files and fetches them. All faults are HubError with a sentence."""

    def listing(self, name: PartName, part: Part) -> Listing:
        """Return the files of the part's repository."""

    def takes_room(self, root: Path) -> bool:
        """Return whether what is fetched takes room on the disk of `root`: links do not."""

    def fetch(self, part: Part, commit: str, file: RemoteFile, target: Path, advance: Advance) -> None:
        """Bring one file to `target`, going on where an earlier attempt has ended."""


def wanted_files(name: PartName, part: Part, listing: Listing) -> tuple[RemoteFile, ...]:
    """Return the files of a listing that the part asks for; HubError when a pattern matches none."""
    found: dict[str, RemoteFile] = {}
    for pattern in part.files:
        full = str(PurePosixPath(part.folder) / pattern)
        matching = [file for file in listing.files if fnmatchcase(file.path, full)]
        if not matching:
            raise HubError(
                f"{part.repository} has no file {full} (the part {name}); look whether it was renamed, and"
                " correct the model's file"
            )
        found |= {file.path: file for file in matching}
    for path in found:
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise HubError(
                f"{part.repository} lists {path!r}, which is no path inside it; nothing was fetched"
            )
    return tuple(found.values())
