"""Where the daemon lives on this machine. The OBS filter follows the same rules (plugin/src/paths.c)."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

DAEMON_SOCKET = "daemon.sock"
WORKER_SOCKET = "worker.sock"
RANKS_SOCKET = "ranks.sock"
LOCK_FILE = "daemon.lock"
# sockaddr_un holds 108 bytes with the final zero.
MAX_SOCKET_PATH_BYTES = 107


class PathError(Exception):
    """A folder that Limner needs cannot be used; the message names it and says what to do."""


def runtime_dir() -> Path:
    """Return the folder of the sockets: LIMNER_RUNTIME_DIR, else limner/ in the user's runtime folder."""
    if chosen := os.environ.get("LIMNER_RUNTIME_DIR"):
        return Path(chosen)
    if session := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(session) / "limner"
    # OBS started by a desktop has XDG_RUNTIME_DIR, a shell over ssh may not: both must meet.
    login = Path(f"/run/user/{os.getuid()}")
    if login.is_dir() and os.access(login, os.W_OK):
        return login / "limner"
    return Path(f"/tmp/limner-{os.getuid()}")


def ensure_private_dir(path: Path) -> None:
    """Create `path` with mode 0700, or check that it is ours and closed to others.

    Raises PathError when it cannot be made, belongs to someone else or is open to others.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        info = path.lstat()
    except OSError as error:
        raise PathError(
            f"cannot use {path}: {error.strerror}; set LIMNER_RUNTIME_DIR to a writable folder"
        ) from error
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid():
        raise PathError(f"{path} is not a folder of this user; remove it or set LIMNER_RUNTIME_DIR")
    if stat.S_IMODE(info.st_mode) & 0o077:
        raise PathError(f"{path} is open to other users; run: chmod 700 {path}")
    if not os.access(path, os.W_OK | os.X_OK):
        raise PathError(f"no write permission in {path}; set LIMNER_RUNTIME_DIR to a writable folder")


def endpoint(name: str, folder: Path | None = None) -> str:
    """Return the ZeroMQ address of socket `name`; raises PathError where the path is too long."""
    path = (folder or runtime_dir()) / name
    if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
        raise PathError(f"{path} is too long for a local socket; set LIMNER_RUNTIME_DIR to a shorter folder")
    return f"ipc://{path}"


def segment_prefix(folder: Path | None = None) -> str:
    """Return the beginning of the names of all segments that belong to the daemon of `folder`.

    A daemon that starts removes what its crashed predecessor left under this prefix, and nothing else.
    """
    digest = hashlib.sha256(os.fsencode((folder or runtime_dir()).absolute())).hexdigest()[:8]
    return f"limner-{os.getuid()}-{digest}-"
