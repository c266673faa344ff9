"""What a trace says: spans of all ranks on one clock, in a form that Chrome reads."""

from __future__ import annotations

import json

from limner.worker.crew.trace import TraceBook

MS = 1_000_000


def test_spans_of_all_ranks_are_on_one_time_line() -> None:
    book = TraceBook()
    book.add(0, "blocks", "forward", 100 * MS, 5 * MS)
    book.add(0, "coding", "decode", 104 * MS, 2 * MS)
    book.add(1, "blocks", "forward", 105 * MS, 6 * MS)
    book.add(1, "blocks", "forward", 10 * MS, 1 * MS)
    trace = json.loads(book.json({0: "Rank 0", 1: "Rank 1: CPU"}, since_ns=90 * MS))
    spans = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    assert [(s["pid"], s["name"], s["ts"], s["dur"]) for s in spans] == [
        (0, "forward", 10_000.0, 5_000.0),
        (0, "decode", 14_000.0, 2_000.0),
        (1, "forward", 15_000.0, 6_000.0),
    ]
    names = {e["args"]["name"] for e in trace["traceEvents"] if e["ph"] == "M"}
    assert names == {"Rank 0", "Rank 1: CPU", "blocks", "coding"}
    assert len({(s["pid"], s["tid"]) for s in spans}) == 3


def test_what_is_too_old_is_forgotten_and_nothing_gives_nothing() -> None:
    book = TraceBook()
    assert json.loads(book.json({0: "Rank 0"}, since_ns=0))["traceEvents"] == []
    book.add(0, "blocks", "forward", 0, MS)
    book.add(0, "blocks", "forward", 1_000_000 * MS, MS)
    trace = json.loads(book.json({0: "Rank 0"}, since_ns=0))
    assert len([event for event in trace["traceEvents"] if event["ph"] == "X"]) == 1
