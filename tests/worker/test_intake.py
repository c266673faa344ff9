"""What waits for the painter: chunks are filled, short ones completed, surplus goes back at once."""

from __future__ import annotations

import pytest
from tests.worker.sessions import give, outputs

from limner.daemon.protocol import SegmentRef, Settings
from limner.daemon.worker_protocol import Close, Give, Open, Update
from limner.worker.desk import CloseJob, Desk, FlushJob, OpenJob, PaintJob
from limner.worker.intake import Intake

NS_PER_MS = 1_000_000


def opening(session: str = "camera", fps: float = 30.0, generation: int = 1, slots: int = 8) -> Open:
    return Open(
        session=session,
        generation=generation,
        width=32,
        height=16,
        fps=fps,
        input=SegmentRef(name="in", size_bytes=4096, slots=slots),
        output=SegmentRef(name="out", size_bytes=4096, slots=16),
        rev=1,
        settings=Settings(),
    )


def intake(frames_per_chunk: int = 4, fps: float = 30.0) -> Intake:
    return Intake(opening(fps=fps), frames_per_chunk)


def add(queue: Intake, *numbers: int, now_ns: int = 0) -> list[int]:
    """Add frames; return the numbers of those that came back."""
    back = [give(queue.opening, n % 8, n) for n in numbers]
    return [surplus.sequence for frame in back for surplus in queue.add(frame, now_ns)]


def take(queue: Intake, now_ns: int = 0) -> tuple[list[int], list[int]]:
    chosen, dropped = queue.take(now_ns)
    return [g.sequence for g in chosen], [g.sequence for g in dropped]


def test_a_chunk_waits_until_it_is_full() -> None:
    queue = intake()
    add(queue, 0, 1, 2)
    assert take(queue) == ([], [])
    add(queue, 3)
    assert take(queue) == ([0, 1, 2, 3], [])
    assert take(queue) == ([], [])


def test_one_frame_more_is_jitter_and_waits() -> None:
    queue = intake()
    add(queue, 0, 1, 2, 3, 4)
    assert take(queue) == ([0, 1, 2, 3], [])
    add(queue, 5, 6, 7)
    assert take(queue) == ([4, 5, 6, 7], [])


def test_more_than_that_is_thinned_to_the_newest() -> None:
    queue = intake()
    add(queue, 0, 1, 2, 3, 4, 5)
    chosen, dropped = take(queue)
    assert chosen[-1] == 5
    assert sorted(chosen + dropped) == list(range(6))
    assert len(chosen) == 4


def test_when_every_second_frame_will_do_those_that_wait_are_passed_over_at_once() -> None:
    """A pace that has no time for them must not meet a queue full of them."""
    queue = intake(frames_per_chunk=4)
    queue.pace(4, 1, 8)
    add(queue, *range(4))
    assert take(queue) == ([0, 1, 2, 3], [])
    add(queue, 4, 5, 6, 7, 8)
    assert [over.sequence for over in queue.pace(4, 2, 8)] == [4, 6, 8]
    assert [kept.sequence for kept in queue.waiting] == [5, 7]
    assert queue.pace(4, 2, 8) == []
    assert queue.pace(4, 1, 8) == [], "what is passed over does not come back"


def test_of_frames_that_come_more_slowly_than_said_none_is_passed_over() -> None:
    queue = intake(frames_per_chunk=4, fps=60.0)
    add(queue, *range(4))
    assert queue.pace(4, 2, 8) == []


def test_the_client_always_keeps_slots() -> None:
    queue = intake()
    back = add(queue, *range(30))
    assert len(queue.waiting) == 6
    assert len(back) == 24
    assert queue.waiting[-1].sequence == 29


def test_many_slots_make_no_long_queue() -> None:
    for frames_per_chunk, waiting in ((1, 6), (4, 6), (16, 18)):
        queue = Intake(opening(slots=24), frames_per_chunk)
        add(queue, *range(60))
        assert len(queue.waiting) == waiting
        assert queue.waiting[-1].sequence == 59


def test_a_short_chunk_goes_when_nothing_follows() -> None:
    queue = intake()
    add(queue, 0, now_ns=1000)
    assert queue.next_look_ns() == 1000 + queue.patience_ns
    assert take(queue, 1000 + queue.patience_ns - 1) == ([], [])
    assert take(queue, 1000 + queue.patience_ns) == ([0], [])


@pytest.mark.parametrize(
    ("fps", "patience_ms"), [(30.0, 150), (60.0, 150), (10.0, 300), (1.0, 2000), (1e-300, 2000)]
)
def test_patience_is_three_frames_within_bounds(fps: float, patience_ms: float) -> None:
    assert intake(fps=fps).patience_ns == patience_ms * NS_PER_MS


def test_flush_is_due_once_after_the_last_chunk() -> None:
    queue = intake()
    assert not queue.flush_due(10**12)
    add(queue, 0, 1, 2, 3)
    take(queue)
    assert not queue.flush_due(queue.patience_ns - 1)
    assert queue.flush_due(queue.patience_ns)
    assert not queue.flush_due(queue.patience_ns)
    assert queue.next_look_ns() is None


def test_time_that_goes_back_drops_what_waited() -> None:
    queue = intake()
    add(queue, 10, 11)
    assert add(queue, 3) == [10, 11]
    add(queue, 4, 5, 6)
    assert take(queue)[0] == [3, 4, 5, 6]


# ---- the desk


def desk(*sessions: str) -> Desk:
    made = Desk()
    made.frames_per_chunk = 2
    for session in sessions:
        made.put(opening(session))
        assert isinstance(made.next_job(), OpenJob)
    return made


def test_sessions_take_turns() -> None:
    made = desk("one", "two")
    for number in range(2):
        for session in ("one", "two"):
            made.put(give(opening(session), number, number))
    turns = []
    for turn in range(4):
        job = made.next_job()
        assert isinstance(job, PaintJob)
        turns.append(job.session)
        # The one that was served has its next chunk ready at once, and still waits for its turn.
        for number in (2 * turn + 2, 2 * turn + 3):
            made.put(give(opening(job.session), number % 8, number))
    assert turns == ["one", "two", "one", "two"]


def test_a_session_that_stalls_or_closes_does_not_hold_up_another() -> None:
    made = desk("one", "two")
    made.put(give(opening("one"), 0, 0))
    for number in range(2):
        made.put(give(opening("two"), number, number))
    job = made.next_job()
    assert isinstance(job, PaintJob)
    assert job.session == "two"
    made.put(Close(session="one"))
    assert made.next_job() == CloseJob("one")
    assert made.put(give(opening("one"), 1, 1)) == []


def test_the_newest_settings_go_with_the_next_chunk() -> None:
    made = desk("one")
    for rev in (2, 3):
        made.put(Update(session="one", rev=rev, settings=Settings(seed=rev)))
    revs = []
    for number in range(4):
        made.put(give(opening("one"), number, number))
        if number % 2:
            job = made.next_job()
            assert isinstance(job, PaintJob)
            revs.append(job.update.rev if job.update else None)
    assert revs == [3, None]


def test_what_is_of_another_generation_is_not_taken() -> None:
    made = desk("one")
    old = opening("one", generation=9)
    made.put(give(old, 0, 0))
    made.put(give(old, 1, 1))
    for message in outputs(old, 3):
        made.put(message)
    assert made.take_outputs("one", 9, 1) == made.take_outputs("one", 1, 1) == []
    made.stop()
    assert made.next_job() is None, "no chunk came of it"


def test_output_slots_are_lent_once() -> None:
    made = desk("one")
    for message in outputs(opening("one"), 3, 4):
        made.put(message)
    assert [made.take_outputs("one", 1, 1) for _ in range(3)] == [[3], [4], []]
    assert made.take_outputs("nobody", 1, 1) == []


def test_a_new_session_of_the_same_name_is_not_touched_by_what_is_left_of_the_old() -> None:
    made = desk("one")
    made.put(Close(session="one"))
    new = opening("one", generation=2)
    for message in (new, *outputs(new, 3, 4)):
        made.put(message)
    assert made.take_outputs("one", 1, 4) == []
    made.fail("one", 1)
    for number in range(2):
        made.put(give(new, number, number))
    assert isinstance(made.next_job(), CloseJob)
    assert isinstance(made.next_job(), OpenJob)
    assert isinstance(made.next_job(), PaintJob)
    assert made.take_outputs("one", 2, 4) == [3, 4]


def test_a_failed_session_takes_nothing_until_it_is_opened_again() -> None:
    made = desk("one")
    made.put(give(opening("one"), 0, 0))
    made.fail("one", 1)
    assert made.put(give(opening("one"), 1, 1)) == [], "the daemon has taken its slots back"
    made.put(Close(session="one"))
    made.put(opening("one"))
    assert made.next_job() == CloseJob("one")
    assert isinstance(made.next_job(), OpenJob)
    for number in range(2):
        made.put(give(opening("one"), number, number))
    assert isinstance(made.next_job(), PaintJob)


def test_the_end_of_a_clip_comes_out() -> None:
    made = desk("one")
    made.put(give(opening("one"), 0, 0))
    job = made.next_job()
    assert isinstance(job, PaintJob)
    assert len(job.frames) == 1
    assert made.next_job() == FlushJob("one")


def test_stop_ends_a_wait() -> None:
    made = desk()
    made.stop()
    assert made.next_job() is None


def test_give_messages_are_what_the_daemon_sends() -> None:
    assert isinstance(give(opening(), 0, 0), Give)
