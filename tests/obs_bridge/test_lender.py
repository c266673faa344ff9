"""What rules lent, over refusals and restarts: without OBS and without a daemon."""

from __future__ import annotations

from pathlib import Path

from limner.daemon.protocol import Change, SessionInfo, Settings, Status
from limner.daemon.rulebook import Rule
from limner.daemon.settings import resolve
from limner.daemon.style_file import load
from limner.obs_bridge.lender import AGAIN_S, Lender
from limner.obs_bridge.state import ObsState

RULES = [Rule(scene="Gaming", style="neon"), Rule(scene="Later", style="nobody knows it")]
STYLES = load()


class Clock:
    now_s = 10.0

    def __call__(self) -> float:
        return self.now_s


def session(settings: Settings, role: str = "filter") -> SessionInfo:
    status = Status(session="Cam", state="live", sentence="", settings=settings)
    return SessionInfo(
        name="Cam", role=role, width=1, height=1, source_width=1, source_height=1, status=status
    )


def look(style: str) -> Settings:
    return resolve(Settings(), Change(style=style), STYLES)[0]


def obey(lender: Lender, scene: str, now: Settings) -> Settings:
    """Do what the lender says, as the daemon would."""
    for todo in lender.todo(RULES, ObsState(scene=scene), [session(now)]):
        now = resolve(now, todo.step.change, STYLES)[0]
        lender.done(todo, now)
    return now


def test_a_loan_survives_the_end_of_the_process(tmp_path: Path) -> None:
    file = tmp_path / "state" / "loans.json"
    lent = obey(Lender(file), "Gaming", look("sepia"))
    assert lent.style == "neon"
    assert obey(Lender(file), "Gaming", lent) == lent
    assert obey(Lender(file), "Main", lent) == look("sepia")
    assert obey(Lender(file), "Main", look("noir")) == look("noir"), "nothing is lent any more"


def test_a_broken_file_of_loans_costs_nothing_but_the_way_back(tmp_path: Path) -> None:
    file = tmp_path / "loans.json"
    file.write_text('{"Cam": 3}')
    assert obey(Lender(file), "Gaming", look("sepia")).style == "neon"


def test_what_was_refused_is_tried_again_but_not_all_the_time(tmp_path: Path) -> None:
    clock = Clock()
    lender = Lender(tmp_path / "loans.json", clock)
    state, sessions = ObsState(scene="Later"), [session(look("sepia"))]
    (todo,) = lender.todo(RULES, state, sessions)
    lender.refused(todo, "unknown style")
    assert "rule 2, scene is 'Later': refused, unknown style" in lender.reasons["Cam"]
    assert lender.todo(RULES, state, sessions) == []
    (other,) = lender.todo(RULES, ObsState(scene="Gaming"), sessions)
    assert other.step.change.style == "neon"
    clock.now_s += AGAIN_S
    assert len(lender.todo(RULES, state, sessions)) == 1


def test_only_filters_are_lent_to_and_who_is_gone_needs_no_reason(tmp_path: Path) -> None:
    lender = Lender(tmp_path / "loans.json")
    state = ObsState(scene="Gaming")
    assert lender.todo(RULES, state, [session(look("sepia"), "demo")]) == []
    assert lender.todo(RULES, state, [session(look("sepia"))])
    assert lender.reasons == {"Cam": "style neon: rule 1, scene is 'Gaming'"}
    assert lender.todo(RULES, state, []) == [] and lender.reasons == {}
