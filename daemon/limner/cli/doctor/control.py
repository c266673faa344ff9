"""Checks of what the user wrote: choices for every daemon, styles and rules, and the way to OBS for these."""

from __future__ import annotations

import msgspec

from limner.cli.doctor.findings import Finding, blocked, fine, warning
from limner.cli.style_desk import in_the_box, unknown_styles
from limner.daemon.saved import Saved, SavedError, saved_file
from limner.daemon.saved import check as check_saved
from limner.daemon.saved import read as read_saved
from limner.daemon.style_file import StylesError, own_file, read
from limner.models.plan_choice import Wishes
from limner.obs_bridge.addresses import AddressError, addresses

CHOICES, STYLES, CONTROL = "Own choices", "Own styles, rules", "OBS chooses the look"


def check_choices() -> tuple[Saved, Finding]:
    """Can a daemon be started with what the user chose for all of them? Return that, too."""
    file = saved_file()
    try:
        saved = read_saved()
        check_saved(saved)
    except SavedError as error:
        return Saved(), blocked(CHOICES, str(error), "until it is corrected no daemon starts")
    if saved == Saved():
        return saved, fine(CHOICES, "none: pocket paints; for another: limner models use NAME")
    said = msgspec.structs.asdict(saved) | msgspec.structs.asdict(saved.memory or Wishes())
    usual = {"memory": saved.memory, "streams": 1}
    chosen = [f"{key} {value}" for key, value in said.items() if value not in (None, usual.get(key))]
    return saved, fine(CHOICES, f"{file}: {', '.join(chosen) or 'none'}")


def check_control() -> list[Finding]:
    """Is the user's file good, and can OBS be reached where it has rules?"""
    if not own_file().exists():
        return [fine(STYLES, f"none: {own_file()} is not there")]
    try:
        styles, file = read(own_file(), in_the_box())
    except StylesError as error:
        return [warning(STYLES, str(error), "correct it; until then the styles before it are in force")]
    if faults := unknown_styles(styles, file):
        return [warning(STYLES, f"{own_file()}: {'; '.join(faults)}", "correct it: that rule sets nothing")]
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
