"""Where obs-websocket listens: from OBS's own configuration on this machine, or from the user's settings."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from limner.daemon.faults import explain
from limner.models.paths import config_dir

DEFAULT_PORT = 4455
LOOPBACK = "127.0.0.1"
SWITCH_IT_ON = 'in OBS, open Tools → WebSocket Server Settings and tick "Enable WebSocket server"'
# Below the home folder, where each way to install OBS keeps it.
_FOLDERS = (
    ".config/obs-studio",
    ".var/app/com.obsproject.Studio/config/obs-studio",
    "snap/obs-studio/current/.config/obs-studio",
)


class AddressError(Exception):
    """Nobody can be asked; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """A server of obs-websocket that may be there."""

    host: str = LOOPBACK
    port: int = DEFAULT_PORT
    password: str = ""
    enabled: bool = True
    """Switched on, as far as its configuration says."""
    source: Path
    """The file that says so."""


class ObsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The user's own `obs.toml`: instead of what OBS's configuration says."""

    host: Annotated[str, Meta(min_length=1, max_length=255)] = LOOPBACK
    port: Annotated[int, Meta(ge=1, le=65535)] = DEFAULT_PORT
    password: Annotated[str, Meta(max_length=1000)] = ""


def own_settings() -> Path:
    """Return where the user's settings for OBS are."""
    return config_dir() / "obs.toml"


def addresses(home: Path | None = None, environment: Mapping[str, str] | None = None) -> list[Address]:
    """Return all servers that may be there, the likeliest first; raises AddressError when there is none."""
    own = own_settings()
    if own.exists():
        return [_from_settings(own)]
    folders = list(_folders(home or Path.home(), os.environ if environment is None else environment))
    everything = [address for folder in folders for address in _from_obs(folder)]
    # OBS 30 leaves what 29 wrote, mostly the same: the first of two that say so counts.
    servers = {(one.port, one.password, one.enabled): one for one in reversed(everything)}
    found = [one for one in everything if one in servers.values()]
    if not found:
        raise AddressError(
            f"no configuration of OBS on this machine (looked in {', '.join(map(str, folders))}); "
            f"start OBS once, or write host, port and password into {own}"
        )
    if not any(address.enabled for address in found):
        raise AddressError(f"OBS's WebSocket server is off ({found[0].source}): {SWITCH_IT_ON}")
    return [address for address in found if address.enabled]


def _folders(home: Path, environment: Mapping[str, str]) -> Iterator[Path]:
    chosen = environment.get("XDG_CONFIG_HOME", "")
    if Path(chosen).is_absolute():
        yield Path(chosen) / "obs-studio"
    yield from (home / folder for folder in _FOLDERS)


def _from_settings(path: Path) -> Address:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        settings = msgspec.convert(table, ObsSettings)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise AddressError(f"cannot read {path}: {error}") from error
    except msgspec.ValidationError as error:
        raise AddressError(f"{path}: {explain(str(error), ObsSettings, table)}") from error
    return Address(host=settings.host, port=settings.port, password=settings.password, source=path)


def _from_obs(folder: Path) -> Iterator[Address]:
    """Give what OBS 30 and later say (obs-websocket's own JSON), then what 28 and 29 do (global.ini)."""
    json_file = folder / "plugin_config" / "obs-websocket" / "config.json"
    ini_file = folder / "global.ini"
    for path, read in ((json_file, _read_json), (ini_file, _read_ini)):
        try:
            values = read(path.read_text(encoding="utf-8-sig", errors="replace"))
            if values is None:
                continue
            yield Address(
                port=_port(values.get("port", DEFAULT_PORT)),
                # Without a password on the server, none is asked for.
                password=str(values.get("password", "")),
                enabled=bool(values.get("enabled", False)),
                source=path,
            )
        except (OSError, ValueError, TypeError):
            # Not there, half written or no address: the next look may see another.
            continue


def _port(value: Any) -> int:
    port = int(value)
    if not 1 <= port <= 65535:
        raise ValueError(f"{port} is no port")
    return port


def _read_json(text: str) -> dict[str, Any] | None:
    table = json.loads(text)
    if not isinstance(table, dict):
        return None
    prefix = "server_"
    return {key.removeprefix(prefix): value for key, value in table.items() if key.startswith(prefix)}


def _read_ini(text: str) -> dict[str, Any] | None:
    """Read [OBSWebSocket] as OBS writes it; None: there is none, so this OBS asks the JSON file."""
    section, values = "", dict[str, str]()
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip().strip("[]")
        elif section == "OBSWebSocket" and "=" in line:
            key, _, value = line.partition("=")
            values[key.strip()] = _unescaped(value)
    if not values:
        return None
    return {
        "enabled": values.get("ServerEnabled") == "true",
        "port": values.get("ServerPort", DEFAULT_PORT),
        "password": values.get("ServerPassword", ""),
    }


def _unescaped(value: str) -> str:
    marks = {"\\n": "\n", "\\r": "\r", "\\\\": "\\"}
    parts, rest = "", value
    while rest:
        found = marks.get(rest[:2])
        parts += rest[0] if found is None else found
        rest = rest[1 if found is None else 2 :]
    return parts
