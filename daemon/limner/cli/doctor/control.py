"""Checks of what lets OBS choose the look: the user's styles and rules, and the way to OBS."""

from __future__ import annotations

from limner.cli.doctor.findings import Finding, fine, warning
from limner.cli.style_desk import in_the_box
from limner.daemon.style_file import StylesError, own_file, read
from limner.obs_bridge.addresses import AddressError, addresses

STYLES, CONTROL = "Own styles, rules", "OBS chooses the look"


def check_control() -> list[Finding]:
    """Is the user's file good, and can OBS be reached where it has rules?"""
    if not own_file().exists():
        return [fine(STYLES, f"none: {own_file()} is not there")]
    try:
        styles, file = read(own_file(), in_the_box())
    except StylesError as error:
        return [warning(STYLES, str(error), "correct it; until then the styles before it are in force")]
    own = sum(style.is_own for style in styles)
    found = [fine(STYLES, f"{own_file()}: {_count(own, 'style')}, {_count(len(file.rules), 'rule')}")]
    return [*found, _way_to_obs()] if file.rules else found


def _way_to_obs() -> Finding:
    try:
        first = addresses()[0]
    except AddressError as error:
        return warning(CONTROL, str(error), "rules do nothing until OBS can be asked")
    return fine(CONTROL, f"WebSocket server at {first.host}:{first.port}, by {first.source}")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
