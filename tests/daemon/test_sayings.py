"""What is said, in pieces: the daemon's own, and what the worker's English is found to be."""

from __future__ import annotations

import signal

import pytest
from tests.daemon.room import Room

from limner.daemon import protocol as p
from limner.daemon import worker_protocol as w
from limner.daemon.protocol import MAX_SAYINGS, Saying
from limner.daemon.sayings import TEMPLATES, fitting, found_in, say, sentence
from limner.daemon.settings import resolve
from limner.daemon.style_file import load
from limner.daemon.styles import Styles
from limner.daemon.supervisor import how_it_ended
from limner.daemon.worker_view import HANG_NS, MUTE_NS, WorkerView
from limner.engine.slo_admit import Offer, Refused
from limner.engine.slo_plan import Limits
from limner.engine.types import WAITS, WAITS_FIRST
from limner.worker import blank, frames_out, loop, room
from limner.worker.memory import MemoryCaps
from limner.worker.memory import words as memory_words
from limner.worker.model_terms import note_of


def codes(text: str) -> list[str]:
    assert sentence(found_in(text)) == text, "nothing is lost or changed"
    return [saying.code for saying in found_in(text)]


@pytest.mark.parametrize("code", TEMPLATES)
def test_each_template_is_found_in_its_own_words(code: str) -> None:
    names = {name: f"<{name}>" for name in found_places(TEMPLATES[code])}
    saying = say(code, **names)
    assert found_in(saying.text) == [saying]
    assert len(names) <= p.MAX_VALUES


def found_places(template: str) -> set[str]:
    return {part.partition("}")[0] for part in template.split("{")[1:]}


def test_words_between_pieces_are_passed_on() -> None:
    text = "Cannot load wan: no such file; really; starting it again in 4 s (see /run/worker.log)"
    assert found_in(text) == [
        say("not_loaded", model="wan", reason="no such file"),
        Saying(text="really"),
        say("again_see", seconds="4", file="/run/worker.log"),
    ]
    assert found_in("") == []


def test_a_piece_may_have_a_joint_of_its_own() -> None:
    text = "wan is not on this machine; run: limner models pull wan; starting it again"
    assert codes(text) == ["no_model", "again"]
    other = "wan is not on this machine; run: limner models pull pocket"
    assert codes(other) == ["", ""], "another name is another sentence"


def test_what_worker_and_engine_say_is_known() -> None:
    texts = {
        loop.WAITS: "text_waits",
        frames_out.NO_ROOM: "lost",
        blank.NOTE: "blank",
        WAITS: "look_waits",
        WAITS_FIRST: "source_waits",
        note_of("", "", ["florb", "wug"]): "unknown_words",
        f"The painter {how_it_ended(3)}": "ended",
        f"The painter {how_it_ended(-signal.SIGKILL)}": "killed_for_memory",
        f"The painter {how_it_ended(-signal.SIGSEGV)}": "killed",
    }
    assert {text: codes(text) for text in texts} == {text: [code] for text, code in texts.items()}


def test_what_the_daemon_says_of_the_worker_is_known() -> None:
    view = WorkerView()
    assert codes(view.info.sentence) == ["starting"]
    view.started(1, 0)
    assert codes(view.stuck(MUTE_NS + 1)) == ["mute"]
    view.became_ready(w.Ready(model="pocket", device="CPU", frames_per_chunk=4), 0)
    view.report(w.Report(chunks=0, busy=True, memory_bytes=0), 0)
    view.heard(HANG_NS)
    assert codes(view.stuck(HANG_NS + 1)) == ["hung"]


def test_why_a_session_is_not_painted_is_known() -> None:
    offer = Offer(steps=1, size=(256, 144), fps=15, latency_ms=400)
    texts = {
        Refused(streams=3, need=1.4, offer=offer).sentence: ["no_place", "would_fit"],
        Refused(streams=20, need=0.9, for_all=offer).sentence: ["no_place_in_time", "would_fit_all"],
        Refused(streams=2, need=3.0).sentence: ["no_place", "end_another"],
        room.ADVICE: ["no_memory_at_all"],
        blank.ADVICE: ["comes_out_blank"],
    }
    assert {text: codes(text) for text in texts} == texts


def test_notes_on_a_change_are_known() -> None:
    change = p.Change(prompt=" ", strength=0, steps=1, least_steps=2)
    _, notes = resolve(p.Settings(), change, load())
    assert [code for note in notes for code in codes(note)] == ["least_steps", "no_words", "no_strength"]


def test_what_a_message_cannot_hold_is_said_in_its_last_piece() -> None:
    many = [say("again_in", seconds=n) for n in range(12)]
    kept = fitting(many)
    assert len(kept) == MAX_SAYINGS
    assert kept[:-1] == many[: MAX_SAYINGS - 1]
    assert sentence(kept) == sentence(many)


def test_a_status_and_an_answer_say_it_both_ways() -> None:
    room = Room("limner-test-sayings-")
    try:
        room.open("camera", strength=0)
        (accepted,) = room.heard(p.Accepted)
        assert [saying.code for saying in accepted.sayings] == ["no_strength"]
        (status,) = room.heard(p.Status)
        assert status.sayings == [say("starting")]
        assert status.sentence == "Starting the painter"
        room.ready_worker()
        assert room.hub.overview().sessions[0].status.device == "CPU"
    finally:
        room.hub.close_all("the test ends")


def test_each_piece_of_what_memory_takes_is_known() -> None:
    wished = Limits(fps=30, steps=2, most_chunk=4, sizes=((320, 176), (256, 144)))
    caps = MemoryCaps(chunk_latents=1, steps=1, area_px=256 * 144)
    assert codes(memory_words(caps, wished)) == ["memory_chunks", "memory_steps", "memory_size"]


def test_sessions_hear_of_other_styles_once() -> None:
    room = Room("limner-test-sayings-")
    try:
        names = room.open("camera").styles
        fewer = Styles([style for style in load() if style.name != names[0]])
        for _ in range(2):
            room.hub.styles_changed(fewer, "")
        assert [message.styles for message in room.heard(p.Styles)] == [names[1:]]
    finally:
        room.hub.close_all("the test ends")
