"""The rules, and what they lend: pure decisions, without OBS and without a daemon."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.daemon.protocol import Change, Lora, ObsInfo, PromptShare, Settings
from limner.daemon.rulebook import Rule
from limner.daemon.settings import resolve
from limner.daemon.style_file import load
from limner.daemon.styles import Style, Styles
from limner.obs_bridge.loans import Loan, governed, returned, step
from limner.obs_bridge.rules import foretold, judge, wanted
from limner.obs_bridge.state import Needs, ObsState

RULES = [
    Rule(scene="Gaming", style="neon"),
    Rule(scene=["Talk", "Break"], style="noir", session="Webcam"),
    Rule(source="Webcam", filter="Dream", strength=0.8),
    Rule(source="Webcam", filter="Dream", enabled=False, transition_ms=500),
    Rule(scene="Gaming", source="Logo", shown=True, bypass=True),
    Rule(scene="Gaming", source="Logo", shown=False, strength=0.3),
]
DREAM = ("Webcam", "Dream")
STYLES = Styles(
    [
        *load(),
        Style(name="two", prompt="a, b", mix=[PromptShare(prompt="a"), PromptShare(prompt="b", weight=2)]),
        Style(name="slow", prompt="slow", transition_ms=2000, seed=9, steps=3, least_steps=2),
        Style(name="film", prompt="film", lora=[Lora(name="grain", weight=0.5)]),
    ]
)


def want(state: ObsState, *names: str) -> dict[str, Any]:
    change = wanted(RULES, state, *names).change
    return {name: value for name in change.__struct_fields__ if (value := getattr(change, name)) is not None}


@pytest.mark.parametrize(
    ("state", "names", "expected"),
    [
        (ObsState(), ("Cam",), {}),
        (ObsState(scene="Gaming"), ("Cam",), {"style": "neon", "strength": 0.3}),
        (ObsState(scene="Gaming", shown=frozenset({"Logo"})), ("Cam",), {"style": "neon", "bypass": True}),
        (ObsState(scene="Break"), ("Webcam", "Webcam #2"), {"style": "noir"}),
        (ObsState(scene="Break"), ("Cam",), {}),
        (ObsState(scene="Talk", filters={DREAM: True}), ("Cam",), {"strength": 0.8}),
        (ObsState(scene="gaming", filters={DREAM: False}), ("Cam",), {"transition_ms": 500}),
        (ObsState(scene="Gaming", filters={DREAM: True}), ("Cam",), {"style": "neon", "strength": 0.3}),
        # Studio mode: what is in the preview is not on air.
        (ObsState(scene="Main", preview="Gaming"), ("Cam",), {}),
    ],
)
def test_all_rules_that_hold_count_and_the_later_wins(
    state: ObsState, names: tuple[str, ...], expected: dict[str, Any]
) -> None:
    assert want(state, *names) == expected


def test_the_preview_tells_what_comes() -> None:
    coming = foretold(RULES, ObsState(scene="Main", preview="Gaming"), "Cam")
    assert coming is not None and coming.change.style == "neon"
    assert foretold(RULES, ObsState(scene="Main"), "Cam") is None


def test_each_verdict_says_why() -> None:
    state = ObsState(scene="Talk", filters={DREAM: False})
    whys = [(verdict.holds, verdict.why) for verdict in judge(RULES, state, "Cam")]
    assert whys == [
        (False, "scene is 'Talk', not 'Gaming'"),
        (False, "it is for 'Webcam' only"),
        (False, "filter 'Dream' of 'Webcam' is off"),
        (True, "filter 'Dream' of 'Webcam' is off"),
        (False, "scene is 'Talk', not 'Gaming', 'Logo' is not shown"),
        (False, "scene is 'Talk', not 'Gaming'"),
    ]
    assert "has no filter 'Dream'" in judge(RULES, ObsState(), "Cam")[2].why
    assert wanted(RULES, ObsState(scene="Gaming"), "Cam").reasons == (
        "style neon: rule 1, scene is 'Gaming'",
        "strength 0.3: rule 6, scene is 'Gaming', 'Logo' is not shown",
    )


def test_a_later_style_has_its_own_words() -> None:
    rules = [Rule(scene="A", prompt="fog"), Rule(scene="A", style="neon")]
    found = wanted(rules, ObsState(scene="A"), "Cam")
    assert (found.change.prompt, found.change.style) == (None, "neon")
    assert wanted(rules[::-1], ObsState(scene="A"), "Cam").change.prompt == "fog"


def test_only_what_rules_speak_of_is_asked_for() -> None:
    assert Needs.of(RULES) == Needs(filters=frozenset({DREAM}), sources=frozenset({"Logo"}))


def test_a_state_survives_its_report() -> None:
    state = ObsState(scene="A", preview="B", filters={DREAM: True}, shown=frozenset({"Logo"}))
    assert ObsState.of(ObsInfo(connected=True, sentence="", **state.report())) == state  # type: ignore[arg-type]


# ---- what is lent goes back


class Session:
    """A session as the daemon would keep it, and what the rules lent it."""

    def __init__(self, **fields: Any) -> None:
        self.settings = resolve(Settings(), Change(**fields), STYLES)[0]
        self.loan: Loan | None = None
        self.sent = 0

    def set(self, **fields: Any) -> None:
        self.settings = resolve(self.settings, Change(**fields), STYLES)[0]

    def rules_want(self, **fields: Any) -> None:
        todo = step(self.loan, Change(**fields), self.settings)
        if todo is None:
            return
        self.sent += 1
        self.settings = resolve(self.settings, todo.change, STYLES)[0]
        self.loan = Loan(before=todo.before, lent=todo.lent, after=self.settings)


def test_what_no_rule_speaks_of_any_more_goes_back() -> None:
    session = Session(style="sepia", strength=0.2)
    before = session.settings
    session.rules_want(style="neon", bypass=True)
    assert (session.settings.style, session.settings.bypass) == ("neon", True)
    session.rules_want(style="noir")
    assert (session.settings.style, session.settings.bypass) == ("noir", False)
    session.rules_want()
    assert session.settings == before
    session.rules_want()
    assert session.sent == 3


def test_all_that_a_style_can_set_is_given_back() -> None:
    mix = [PromptShare(prompt="z")]
    whole = {"name": "w", "prompt": "w", "mix": mix, "strength": 0.9, "steps": 4, "least_steps": 3}
    whole |= {"seed": 8, "transition_ms": 9, "steadiness": 0.1, "lora": [Lora(name="grain")]}
    settings = resolve(Settings(), Change(style="w"), Styles([Style(**whole)]))[0]  # type: ignore[arg-type]
    set_by_it = {
        name for name in Settings.__struct_fields__ if getattr(settings, name) != getattr(Settings(), name)
    }
    assert set_by_it == governed(Change(style="w"))


def test_what_a_hand_changed_meanwhile_stays() -> None:
    session = Session(style="sepia")
    session.rules_want(style="neon", bypass=True)
    session.set(strength=0.11)
    session.rules_want(style="neon", bypass=True)
    assert session.settings.strength == 0.11, "the rules want nothing new"
    session.rules_want(style="neon")
    assert session.settings.strength == 0.11 and not session.settings.bypass
    session.rules_want()
    assert (session.settings.style, session.settings.strength) == ("sepia", 0.11)
    session.rules_want(style="neon")
    session.set(style="vaporwave")
    session.rules_want()
    assert session.settings.style == "vaporwave"


def test_a_filter_that_comes_back_in_what_was_lent_still_goes_back() -> None:
    session = Session(style="sepia")
    session.rules_want(style="slow", bypass=True)
    # A filter remembers its style, but no transition; OBS was closed, so that nothing is bypassed.
    session.set(transition_ms=0, bypass=False)
    assert session.loan is not None
    session.loan = returned(session.loan, session.settings)
    session.rules_want(style="slow", bypass=True)
    assert (session.settings.transition_ms, session.settings.bypass) == (2000, True)
    session.rules_want()
    assert (session.settings.style, session.settings.bypass) == ("sepia", False)


def test_a_filter_that_comes_back_in_another_look_goes_back_to_that() -> None:
    session = Session(style="sepia")
    session.rules_want(style="neon")
    assert session.loan is not None
    session.set(style="noir")
    session.loan = returned(session.loan, session.settings)
    session.rules_want(style="neon")
    assert session.settings.style == "neon"
    session.rules_want()
    assert session.settings.style == "noir"


looks = st.one_of(
    st.sampled_from(STYLES.names).map(lambda name: {"style": name}),
    st.sampled_from(["fog", "rain"]).map(lambda prompt: {"prompt": prompt}),
    st.just({"mix": [PromptShare(prompt="fog", weight=3), PromptShare(prompt="rain")]}),
)
extras = st.fixed_dictionaries(
    {},
    optional={
        "strength": st.sampled_from([0.0, 0.3, 1.0]),
        "steps": st.integers(1, 4),
        "transition_ms": st.sampled_from([0, 700]),
        "bypass": st.booleans(),
    },
)
loras = st.fixed_dictionaries({}, optional={"lora": st.just([Lora(name="own")])})
of_rules = st.tuples(st.one_of(st.just({}), looks.filter(lambda look: "mix" not in look)), extras)


@given(look=looks, extra=extras, lora=loras, wishes=st.lists(of_rules, max_size=5))
def test_whatever_rules_do_in_between_all_goes_back(
    look: dict[str, Any],
    extra: dict[str, Any],
    lora: dict[str, Any],
    wishes: list[tuple[dict[str, Any], dict[str, Any]]],
) -> None:
    session = Session(**look, **extra, **lora)
    before = session.settings
    for words, more in itertools.chain(wishes, [({}, {})]):
        session.rules_want(**words, **more)
        for name, value in {**words, **more}.items():
            assert getattr(session.settings, name) == value
    assert session.settings == before
