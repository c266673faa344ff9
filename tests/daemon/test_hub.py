"""The daemon's decisions, without sockets: messages in, messages out."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import structs
from tests.daemon.room import Room, frame, hello

from limner.daemon import protocol as p
from limner.daemon import worker_protocol as w
from limner.daemon.hub import SILENCE_NS
from limner.daemon.metrics import NS_PER_S
from limner.daemon.painting import RETRY_NS
from limner.daemon.sizes import POCKET
from limner.daemon.style_file import load
from limner.daemon.wire import encode
from limner.daemon.worker_view import HANG_NS


def report(**of_sessions: Any) -> w.Report:
    return w.Report(chunks=1, busy=True, memory_bytes=1, **of_sessions)


@pytest.fixture
def room() -> Iterator[Room]:
    made = Room(f"limner-test-{secrets.token_hex(4)}-")
    yield made
    made.hub.close_all("the test ends")
    assert made.segments == []


# ---- sessions


def test_hello_opens_a_session_with_two_segments(room: Room) -> None:
    welcome = room.open(style="noir", strength=0.9)
    assert (welcome.width, welcome.height, welcome.frames_per_chunk) == (320, 176, 4)
    assert room.segments == sorted([welcome.input.name, welcome.output.name])
    assert (welcome.settings.style, welcome.settings.strength) == ("noir", 0.9)
    (accepted,) = room.heard(p.Accepted)
    assert (accepted.rev, accepted.settings) == (0, welcome.settings)
    (status,) = room.heard(p.Status)
    assert status.state == "waiting"


def test_hello_again_replaces_the_session(room: Room) -> None:
    first = room.open()
    second = room.open()
    assert second.generation > first.generation
    assert second.session == first.session
    assert room.segments == sorted([second.input.name, second.output.name])


def test_two_of_the_same_name_get_ids_of_their_own(room: Room) -> None:
    assert room.open("camera", b"a").session == "camera"
    assert room.open("camera", b"b").session == "camera #2"
    assert room.open("*", b"c").session == "session"


def test_bye_and_silence_leave_nothing(room: Room) -> None:
    room.painting("one", b"a")
    room.painting("two", b"b")
    room.say(p.Bye(), b"a")
    assert len(room.segments) == 2
    room.hub.tick()
    for _ in range(6):
        room.now_ns += NS_PER_S // 2
        room.hub.tick()
    assert room.error(b"b").code == "silent"
    assert room.segments == []
    assert [c.session for c in room.told(w.Close)] == ["one", "two"]


def test_a_ping_keeps_a_session_open(room: Room) -> None:
    room.open()
    for _ in range(20):
        room.now_ns += NS_PER_S // 2
        room.say(p.Ping())
        room.hub.tick()
    assert len(room.segments) == 2


def test_our_own_stall_counts_against_nobody(room: Room) -> None:
    room.open()
    room.hub.tick()
    room.now_ns += 10 * SILENCE_NS
    room.hub.tick()
    assert len(room.segments) == 2


def test_a_filter_whose_style_is_gone_keeps_all_else(room: Room) -> None:
    room.say(hello(style="noire", strength=0.9, seed=5))
    settings = room.heard(p.Welcome)[0].settings
    assert (settings.style, settings.strength, settings.seed) == (load().names[0], 0.9, 5)
    assert "did you mean 'noir'" in room.heard(p.Accepted)[0].notes[0]
    room.say(hello(style="noire", prompt="red sea"))
    settings = room.heard(p.Welcome)[0].settings
    assert (settings.style, settings.prompt) == ("custom", "red sea")
    assert room.heard(p.Error) == []


@pytest.mark.parametrize("role", ["demo", "bench", "observer"])
def test_whoever_else_names_an_unknown_style_is_refused(room: Room, role: str) -> None:
    room.say(hello(role=role, style="noire"))
    error = room.error()
    assert (error.code, error.about) == ("unknown_style", "hello")
    assert "did you mean 'noir'" in error.message
    assert not room.heard(p.Welcome)
    assert not room.segments


def test_generations_of_two_daemons_differ(room: Room) -> None:
    other = Room(room.prefix)
    assert abs(other.open().generation - room.open().generation) > 1, "one in a thousand million may be so"
    other.hub.close_all("the test ends")


def test_no_memory_is_said(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    room.say(hello())
    error = room.error()
    assert error.code == "no_memory"
    assert "not enough shared memory" in error.message
    assert room.segments == []


# ---- frames


def test_without_a_worker_frames_come_back_at_once(room: Room) -> None:
    welcome = room.open()
    room.say(frame(welcome, 3))
    assert [free.slot for free in room.heard(p.Free)] == [3]
    assert room.hub.overview().sessions[0].status.dropped == 1


def test_a_frame_goes_to_the_worker_and_comes_back_painted(room: Room) -> None:
    welcome = room.painting()
    assert sorted(r.slot for r in room.told(w.Return)) == list(range(POCKET.output_slots))
    room.say(frame(welcome, 2, sequence=9, pts_ns=room.now_ns - 5_000_000))
    (give,) = room.told(w.Give)
    assert (give.slot, give.sequence) == (2, 9)
    gen = welcome.generation
    room.worker_says(
        w.Return(session="camera", generation=gen, slot=2),
        w.Give(session="camera", generation=gen, slot=11, sequence=9, pts_ns=give.pts_ns),
    )
    assert [free.slot for free in room.heard(p.Free)] == [2]
    (painted,) = room.heard(p.Frame)
    assert (painted.slot, painted.sequence, painted.pts_ns) == (11, 9, give.pts_ns)
    room.say(p.Free(generation=gen, slot=11))
    assert [r.slot for r in room.told(w.Return)] == [11]
    status = room.hub.overview().sessions[0].status
    assert (status.received, status.painted, status.dropped) == (1, 1, 0)
    assert status.latency_ms.p50 == pytest.approx(5.0)


@pytest.mark.parametrize("slot", [0, POCKET.input_slots, 255])
def test_a_slot_that_is_not_the_senders_is_refused(room: Room, slot: int) -> None:
    welcome = room.painting()
    room.say(frame(welcome, 0))
    room.say(frame(welcome, slot))
    error = room.error()
    assert (error.code, error.about) == ("slot", "frame")
    assert f"slot {slot}" in error.message
    room.say(p.Free(generation=welcome.generation, slot=min(slot, POCKET.output_slots)))
    assert room.error().about == "free"
    room.say(frame(welcome, 1))
    assert len(room.told(w.Give)) == 2


def test_our_own_stall_does_not_count_against_a_busy_worker(room: Room) -> None:
    room.painting()
    room.worker_says(w.Report(chunks=3, busy=True, memory_bytes=1))
    room.hub.tick()
    room.now_ns += 2 * HANG_NS
    room.hub.tick()
    room.worker_says(w.Report(chunks=3, busy=True, memory_bytes=1))
    assert room.hub.floor.worker.stuck(room.now_ns) == ""
    assert "hung" in room.hub.floor.worker.stuck(room.now_ns + HANG_NS + 1)


def test_an_older_generation_is_ignored_a_newer_one_refused(room: Room) -> None:
    old = room.painting()
    new = room.painting()
    room.say(frame(old, 0))
    room.say(p.Free(generation=old.generation, slot=0))
    room.worker_says(w.Give(session="camera", generation=old.generation, slot=0, sequence=1, pts_ns=1))
    assert not any((room.heard(p.Error), room.heard(p.Frame), room.heard(p.Free)))
    room.say(p.Frame(generation=new.generation + 1, slot=0, sequence=0, pts_ns=0))
    assert room.error().code == "generation"


def test_who_did_not_say_hello_is_told_so(room: Room) -> None:
    for message in (
        p.Frame(generation=1, slot=0, sequence=0, pts_ns=0),
        p.Free(generation=1, slot=0),
        p.Ping(),
    ):
        room.say(message)
        assert room.error().code == "no_session"


def test_garbage_is_answered_and_the_session_goes_on(room: Room) -> None:
    welcome = room.painting()
    room.hub.client_said(b"a", b"\xff\x00garbage")
    assert room.error().code == "garbage"
    room.say(frame(welcome, 0))
    assert len(room.told(w.Give)) == 1


def test_the_workers_nonsense_changes_nothing(room: Room) -> None:
    welcome = room.painting()
    gen = welcome.generation
    room.hub.painting.worker_said(b"nonsense")
    room.worker_says(
        w.Give(session="camera", generation=gen, slot=200, sequence=0, pts_ns=0),
        w.Return(session="camera", generation=gen, slot=0),
        w.Give(session="nobody", generation=gen, slot=0, sequence=0, pts_ns=0),
        w.Opened(session="nobody"),
        w.Failed(session="nobody", message="x"),
        w.Done(session="nobody", rev=99, chunk=0, pts_ns=0),
    )
    assert not any((room.heard(p.Error), room.heard(p.Frame), room.heard(p.Free)))


# ---- the worker's life


def test_the_workers_death_gives_the_slots_back_and_the_next_one_goes_on(room: Room) -> None:
    welcome = room.painting()
    gen = welcome.generation
    for slot in range(3):
        room.say(frame(welcome, slot))
    room.worker_says(w.Give(session="camera", generation=gen, slot=5, sequence=0, pts_ns=0))
    room.worker.clear()
    room.heard(p.Status)
    room.hub.painting.worker_ended("The painter was killed (SIGKILL); starting it again", failed=False)
    assert [free.slot for free in room.heard(p.Free)] == [0, 1, 2]
    (status,) = room.heard(p.Status)
    assert status.state == "waiting"
    assert "SIGKILL" in status.sentence
    # While nobody paints, slot 5 is still on the client's screen.
    room.ready_worker()
    (opening,) = room.told(w.Open)
    assert (opening.generation, opening.input) == (gen, welcome.input)
    assert sorted(r.slot for r in room.told(w.Return)) == [s for s in range(POCKET.output_slots) if s != 5]
    room.say(p.Free(generation=gen, slot=5))
    assert [r.slot for r in room.told(w.Return)] == [5]
    room.worker_says(w.Opened(session="camera"))
    room.say(frame(welcome, 0))
    assert [give.slot for give in room.told(w.Give)][-1] == 0
    assert room.hub.overview().worker.restarts == 1


def test_a_session_that_failed_says_why_and_is_tried_again(room: Room) -> None:
    welcome = room.painting()
    room.say(frame(welcome, 0))
    room.told(w.Open)
    room.heard(p.Status)
    gen = welcome.generation
    room.worker_says(w.Failed(session="camera", generation=gen - 1, message="An older session's."))
    assert room.heard(p.Status) == []
    room.worker_says(w.Failed(session="camera", generation=gen, message="No such size."))
    assert [free.slot for free in room.heard(p.Free)] == [0]
    (status,) = room.heard(p.Status)
    assert (status.state, status.sentence) == ("failed", "No such size.")
    room.say(frame(welcome, 1))
    assert [free.slot for free in room.heard(p.Free)] == [1]
    room.hub.tick()
    assert room.told(w.Open) == []
    room.now_ns += RETRY_NS + 1
    room.hub.tick()
    assert len(room.told(w.Close)) == len(room.told(w.Open)) == 1


def test_new_settings_give_a_failed_session_another_chance(room: Room) -> None:
    gen = room.painting().generation
    room.told(w.Open)
    room.worker_says(w.Failed(session="camera", generation=gen, message="No."))
    room.say(p.Set(rev=1, change=p.Change(style="noir")))
    (opening,) = room.told(w.Open)
    assert opening.settings.style == "noir"


def test_the_workers_last_words_are_kept(room: Room) -> None:
    room.ready_worker()
    room.worker_says(w.Failed(session="", message="not enough memory"))
    assert room.hub.painting.last_words == "not enough memory"
    room.ready_worker()
    assert room.hub.painting.last_words == ""


# ---- settings


def test_a_change_is_accepted_then_applied(room: Room) -> None:
    room.painting()
    room.say(p.Set(rev=31, change=p.Change(style="noir", seed=8)))
    accepted = room.heard(p.Accepted)[-1]
    assert (accepted.rev, accepted.session, accepted.settings.seed) == (31, "camera", 8)
    (update,) = room.told(w.Update)
    assert update.settings == accepted.settings
    room.worker_says(w.Done(session="camera", rev=update.rev - 1, chunk=3, pts_ns=50))
    # That was what the session began with.
    assert [applied.rev for applied in room.heard(p.Applied)] == [0]
    room.worker_says(w.Done(session="camera", rev=update.rev, chunk=4, pts_ns=60))
    (applied,) = room.heard(p.Applied)
    assert (applied.rev, applied.session, applied.chunk, applied.pts_ns) == (31, "camera", 4, 60)


def test_a_change_that_a_newer_one_replaced_is_applied_with_it(room: Room) -> None:
    room.painting()
    for rev in (1, 2, 3):
        room.say(p.Set(rev=rev, change=p.Change(strength=rev / 10)))
    newest = room.told(w.Update)[-1]
    room.worker_says(w.Done(session="camera", rev=newest.rev, chunk=0, pts_ns=0))
    assert [applied.rev for applied in room.heard(p.Applied)] == [0, 1, 2, 3]


def test_what_the_model_says_of_a_change_comes_with_it(room: Room) -> None:
    room.painting()
    for rev in (1, 2):
        room.say(p.Set(rev=rev, change=p.Change(prompt=f"florbs {rev}")))
    newest = room.told(w.Update)[-1]
    room.worker_says(w.Done(session="camera", rev=newest.rev, chunk=0, pts_ns=0, note="florbs?"))
    heard = [(applied.rev, applied.notes) for applied in room.heard(p.Applied)]
    assert heard == [(0, []), (1, []), (2, ["florbs?"])]


def test_what_is_in_force_is_in_the_status_until_the_worker_goes(room: Room) -> None:
    room.painting()
    plan = p.Plan(
        steps=1,
        mode="latency",
        chunk=1,
        width=256,
        height=144,
        frame_step=2,
        reduced=True,
        sentence="256×144, 1 of 2 frames",
    )
    room.worker_says(report(strengths={"camera": 0.4}, plans={"camera": plan}))
    status = room.hub.overview().sessions[0].status
    assert (status.strength, status.plan) == (0.4, plan)
    room.worker_says(report())
    status = room.hub.overview().sessions[0].status
    assert (status.strength, status.plan) == (None, None)
    room.worker_says(report(strengths={"camera": 0.4}, plans={"camera": plan}))
    room.hub.painting.worker_ended("It fell", failed=False)
    status = room.hub.overview().sessions[0].status
    assert (status.strength, status.plan) == (None, None)


@pytest.mark.parametrize(
    ("less", "state", "words"),
    [
        ({"steps": 1, "sentence": "1 of 2 steps"}, "live", ", pocket on CPU; 1 of 2 steps to keep up"),
        (
            {"frame_step": 2, "sentence": "1 of 2 frames"},
            "overloaded",
            "; 1 of 2 frames to keep up; allow fewer steps or close",
        ),
        ({"reduced": False, "sentence": ""}, "live", ", pocket on CPU"),
    ],
)
def test_reduced_quality_is_said(room: Room, less: dict[str, object], state: str, words: str) -> None:
    welcome = room.painting()
    room.say(frame(welcome, 0, pts_ns=room.now_ns))
    gen = welcome.generation
    room.worker_says(w.Give(session="camera", generation=gen, slot=1, sequence=0, pts_ns=room.now_ns))
    room.now_ns += NS_PER_S // 2
    whole = p.Plan(steps=2, mode="latency", chunk=1, width=320, height=176, frame_step=1, reduced=True)
    room.worker_says(report(plans={"camera": structs.replace(whole, **less)}))
    status = room.hub.overview().sessions[0].status
    assert status.state == state
    assert words in status.sentence


def test_a_terminal_sets_all_and_new_sessions_start_with_it(room: Room) -> None:
    room.painting("one", b"a")
    room.painting("two", b"b")
    room.say(p.Set(rev=5, change=p.Change(style="noir"), session="*"), b"cli")
    (accepted,) = room.heard(p.Accepted, b"cli")
    assert (accepted.session, accepted.settings.style) == ("*", "noir")
    updates = room.told(w.Update)
    assert {u.session: u.settings.style for u in updates} == {"one": "noir", "two": "noir"}
    assert {room.heard(p.Status, c)[-1].settings.style for c in (b"a", b"b")} == {"noir"}
    room.worker_says(*(w.Done(session=u.session, rev=u.rev, chunk=0, pts_ns=0) for u in updates))
    assert sorted(x.session for x in room.heard(p.Applied, b"cli")) == ["one", "two"]
    assert room.open("three", b"c").settings.style == "noir"
    assert room.open("four", b"d", style="neon").settings.style == "neon"


def test_one_session_by_name_leaves_the_other_alone(room: Room) -> None:
    room.painting("one", b"a")
    room.painting("two", b"b")
    room.say(p.Set(rev=5, change=p.Change(style="noir"), session="two"), b"cli")
    assert [u.session for u in room.told(w.Update)] == ["two"]
    room.say(p.Set(rev=6, change=p.Change(style="noir"), session="three"), b"cli")
    error = room.error(b"cli")
    assert error.code == "unknown_session"
    assert "'one', 'two'" in error.message
    room.say(p.Set(rev=7, change=p.Change(style="noir")), b"cli")
    assert room.error(b"cli").code == "unknown_session"


def test_reset_reaches_whom_it_names(room: Room) -> None:
    room.painting("one", b"a")
    room.painting("two", b"b")
    room.say(p.Reset(), b"a")
    room.say(p.Reset(session="two"), b"cli")
    room.say(p.Reset(session="*"), b"cli")
    assert [reset.session for reset in room.told(w.Reset)] == ["one", "two", "one", "two"]
    room.say(p.Reset(session="three"), b"cli")
    error = room.error(b"cli")
    assert (error.code, error.about) == ("unknown_session", "reset")


def test_an_unknown_style_changes_nothing(room: Room) -> None:
    room.painting()
    room.say(p.Set(rev=5, change=p.Change(style="noire", seed=3), session="*"))
    assert room.error().code == "unknown_style"
    assert room.told(w.Update) == []
    assert room.open("new", b"b").settings.seed == 0


def test_bypass_leaves_the_worker_alone(room: Room) -> None:
    welcome = room.painting()
    room.say(p.Set(rev=5, change=p.Change(bypass=True)))
    assert [a.rev for a in room.heard(p.Applied)] == [5]
    assert room.heard(p.Status)[-1].state == "off"
    room.say(frame(welcome, 0))
    assert [f.slot for f in room.heard(p.Free)] == [0]
    assert room.told(w.Give) == []
    assert room.hub.overview().sessions[0].status.dropped == 0
    room.say(p.Set(rev=6, change=p.Change(bypass=False)))
    room.say(frame(welcome, 0))
    assert len(room.told(w.Give)) == 1


# ---- who asks


def test_the_overview_has_everything(room: Room) -> None:
    room.painting()
    room.say(p.Query(), b"cli")
    (overview,) = room.heard(p.Overview, b"cli")
    assert (overview.version, overview.worker.state, overview.worker.pid) == ("1.2.3", "ready", 77)
    assert [s.name for s in overview.sessions] == ["camera"]
    assert p.from_daemon.decode(encode(overview)) == overview


def test_an_observer_hears_every_session(room: Room) -> None:
    room.painting()
    room.say(hello("watch", "observer"), b"o")
    assert room.heard(p.Accepted, b"o")[0].session == ""
    room.hub.tick()
    assert [s.session for s in room.heard(p.Status, b"o")] == ["camera"]
    assert len(room.segments) == 2


def test_the_end_is_said_to_everyone(room: Room) -> None:
    room.painting("one", b"a")
    room.say(hello("watch", "observer"), b"o")
    room.hub.close_all("ending")
    assert room.error(b"a").code == room.error(b"o").code == "stopping"
    assert room.segments == []
