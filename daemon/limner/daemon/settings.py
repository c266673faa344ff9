"""How a change to the settings is understood."""

from __future__ import annotations

import msgspec

from limner.daemon.protocol import Change, Settings
from limner.daemon.styles import CUSTOM, SET_BY_STYLE, Style, Styles, joined

# What a change says in words of its own; every other field is carried over as it is.
_LOOK = ("style", "prompt", "mix")
_PLAIN = tuple(name for name in Change.__struct_fields__ if name not in _LOOK)


def resolve(settings: Settings, change: Change, styles: Styles) -> tuple[Settings, list[str]]:
    """Return the settings after `change`, and notes for people; raises UnknownStyleError.

    A style brings its prompt, strength, steps and whatever else it names; what the change says itself wins
    over the style. A prompt or a mix without a style makes the look "custom".
    """
    values: dict[str, object] = {}
    if change.style is not None and change.style.strip().casefold() in ("", CUSTOM):
        values["style"] = CUSTOM
    elif change.style is not None:
        values = _of_style(styles.find(change.style))
    values |= _own_words(change, before=str(values.get("prompt", settings.prompt)), styled="mix" in values)
    values |= {name: value for name in _PLAIN if (value := getattr(change, name)) is not None}
    return _fitting(msgspec.structs.replace(settings, **values))


def restyled(settings: Settings, old: Style, new: Style) -> Settings:
    """Return the settings of a session in the style `old`, which is `new` from now on.

    What was changed by hand since the style was chosen stays.
    """
    before, after = _of_style(old), _of_style(new)
    values = {
        name: value
        for name, value in after.items()
        if name not in before or getattr(settings, name) == before[name]
    }
    return _fitting(msgspec.structs.replace(settings, **values))[0]


def _of_style(style: Style) -> dict[str, object]:
    """Return what a style sets; a mix and LoRAs that were there before go."""
    values = {name: getattr(style, name) for name in SET_BY_STYLE}
    return {"style": style.name} | {name: value for name, value in values.items() if value is not None}


def _own_words(change: Change, *, before: str, styled: bool) -> dict[str, object]:
    """Return what the change's own prompt or mix sets; a mix wins over a prompt.

    The prompt as it was `before` is nothing new: a filter that knows no mixes says it when it comes back.
    """
    if change.mix:
        return {"style": CUSTOM, "mix": change.mix, "prompt": joined(change.mix)}
    values: dict[str, object] = {} if change.mix is None else {"mix": []}
    if change.prompt is not None and change.prompt != before:
        values |= {"mix": [], "prompt": change.prompt}
    return values if styled or not values else values | {"style": CUSTOM}


def _fitting(settings: Settings) -> tuple[Settings, list[str]]:
    """Return settings that fit together, and notes on them."""
    notes = []
    if settings.least_steps > settings.steps:
        steps = f"{settings.steps} step{'s' if settings.steps > 1 else ''}"
        notes.append(f"least steps {settings.least_steps} is more than {steps}: {settings.steps} it is")
        settings = msgspec.structs.replace(settings, least_steps=settings.steps)
    words = [share.prompt for share in settings.mix] or [settings.prompt]
    if not settings.bypass and not any(word.strip() for word in words):
        notes.append("the prompt is empty: the model paints without words")
    if settings.strength == 0:
        notes.append("strength 0 shows the source")
    return settings, notes
