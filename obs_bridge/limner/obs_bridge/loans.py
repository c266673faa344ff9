"""Rules lend: what a rule set goes back to what it was before when no rule says anything of it any more.

Pure functions over what a session has now. What a hand changed meanwhile is the hand's: it is never undone.
"""

from __future__ import annotations

from typing import Any

import msgspec

from limner.daemon.protocol import Change, Settings
from limner.daemon.styles import CUSTOM, SET_BY_STYLE

_WORDS = ("style", "prompt", "mix")
# What a change of each of these may set.
_GOVERNED = {
    "style": ("style", *SET_BY_STYLE),
    "prompt": _WORDS,
    "strength": ("strength",),
    "steps": ("steps", "least_steps"),
    "transition_ms": ("transition_ms",),
    "bypass": ("bypass",),
}


class Loan(msgspec.Struct, frozen=True, kw_only=True):
    """What rules have set in a session."""

    before: Settings
    """As it was, with what a hand changed since."""
    lent: Change
    """What the rules said."""
    after: Settings
    """What that came to."""
    again: bool = False
    """The session was away and has lost some of it: it is to be said again."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be sent now, and what the loan then rests on."""

    change: Change
    before: Settings
    lent: Change


def step(loan: Loan | None, wanted: Change, now: Settings) -> Step | None:
    """Return what to do when rules want `wanted` of a session that is as `now`; None: nothing.

    As long as the rules want the same, nothing is sent: a hand may change what a rule has set.
    """
    lent = loan.lent if loan else Change()
    again = loan is not None and loan.again
    if wanted == lent and not again:
        return None
    before = _with_the_hands(loan, now) if loan else now
    back = governed(lent) - governed(wanted)
    # As it shall be, before what the rules want is laid over it.
    target = msgspec.structs.replace(now, **{name: getattr(before, name) for name in back})
    values = _given_back(target, back) | _news({} if again else _said(lent), _said(wanted))
    return Step(change=msgspec.convert(values, Change), before=before, lent=wanted)


def returned(loan: Loan, now: Settings) -> Loan:
    """Return the loan of a session that was away and is back as `now`.

    Each setting is either as it was lent or as it was before, by what the filter remembers; anything else
    is somebody's choice, and what it goes back to from now on.
    """
    fields = governed(loan.lent)
    lost = {name for name in fields if getattr(now, name) != getattr(loan.after, name)}
    chosen = {name for name in lost if getattr(now, name) != getattr(loan.before, name)}
    if chosen & set(_WORDS):
        chosen |= set(_WORDS)
    before = msgspec.structs.replace(loan.before, **{name: getattr(now, name) for name in chosen})
    return Loan(before=before, lent=loan.lent, after=now, again=bool(lost))


def governed(change: Change) -> set[str]:
    """Return the settings that a change may have set."""
    return {name for key in _said(change) for name in _GOVERNED.get(key, (key,))}


def _said(change: Change) -> dict[str, Any]:
    values: dict[str, Any] = msgspec.to_builtins(change)
    return values


def _with_the_hands(loan: Loan, now: Settings) -> Settings:
    """Return what was before, with what is not as the rules left it: somebody changed that by hand."""
    style = loan.after.style
    # The words of a style may change with its file; that is no hand's doing.
    same_style = now.style == style and style not in ("", CUSTOM)
    by_hand = {
        name: getattr(now, name)
        for name in governed(loan.lent)
        if getattr(now, name) != getattr(loan.after, name) and not (same_style and name in _WORDS)
    }
    if by_hand.keys() & set(_WORDS):
        by_hand |= {name: getattr(now, name) for name in _WORDS}
    return msgspec.structs.replace(loan.before, **by_hand)


def _news(lent: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """Return what is to be said: what is wanted as before is not said again, for a hand may have been there.

    A style is, with its words, when something is no longer wanted that it must set again.
    """
    gone = lent.keys() - wanted.keys()
    style_again = "style" in wanted and gone & set(_GOVERNED["style"])
    words_again = style_again or any(lent.get(name) != wanted.get(name) for name in ("style", "prompt"))
    unsaid = {name for name, value in wanted.items() if lent.get(name) == value}
    if words_again:
        unsaid -= {"style", "prompt"}
        if "style" in wanted:
            # It sets these anew: they must be said with it.
            unsaid -= set(_GOVERNED["style"])
    return {name: value for name, value in wanted.items() if name not in unsaid}


def _given_back(target: Settings, names: set[str]) -> dict[str, Any]:
    """Return what makes these settings those of `target`. Words go together: a style names its own."""
    plain: dict[str, Any] = msgspec.to_builtins(target)
    words = bool(names & set(_WORDS))
    if words and target.style not in ("", CUSTOM):
        # The style brings more than its words: that must be as in the target, too.
        names = names | set(_GOVERNED["style"])
    values = {name: plain[name] for name in names if name not in _WORDS}
    return values | (_words_of(target, plain) if words else {})


def _words_of(before: Settings, plain: dict[str, Any]) -> dict[str, Any]:
    if before.style not in ("", CUSTOM):
        # A style brings its own mix; said again, it would be nobody's.
        own = {} if before.mix else {"prompt": before.prompt}
        return {"style": before.style, **own}
    return {"mix": plain["mix"]} if before.mix else {"prompt": before.prompt, "mix": []}
