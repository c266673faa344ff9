"""How a change to the settings is understood."""

from __future__ import annotations

import msgspec

from limner.daemon.protocol import Change, Settings
from limner.daemon.styles import CUSTOM, Styles

# Fields that a change carries over as they are.
_PLAIN = ("prompt", "strength", "steps", "seed", "motion_aware", "bypass")


def resolve(settings: Settings, change: Change, styles: Styles) -> tuple[Settings, list[str]]:
    """Return the settings after `change`, and notes for people; raises UnknownStyleError.

    A style brings its prompt, strength and steps; what the change says itself wins over the style.
    A prompt without a style makes the look "custom".
    """
    values: dict[str, object] = {}
    if change.style is not None and change.style.strip().casefold() in ("", CUSTOM):
        values["style"] = CUSTOM
    elif change.style is not None:
        style = styles.find(change.style)
        values |= {
            "style": style.name,
            "prompt": style.prompt,
            "strength": style.strength,
            "steps": style.steps,
        }
    elif change.prompt is not None and change.prompt != settings.prompt:
        values["style"] = CUSTOM
    values |= {name: value for name in _PLAIN if (value := getattr(change, name)) is not None}
    resolved = msgspec.structs.replace(settings, **values)
    return resolved, _notes(resolved)


def _notes(settings: Settings) -> list[str]:
    notes = []
    if not settings.bypass and not settings.prompt.strip():
        notes.append("the prompt is empty: the model paints without words")
    if settings.strength == 0:
        notes.append("strength 0 shows the source")
    return notes
