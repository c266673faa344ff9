"""A model is planned over all cards that say hello, and told to them; a large one waits for another card."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.distributed.test_crew_machines import LOOPBACK, free_port

from limner.daemon.rank_keys import new_keys
from limner.models import catalogue
from limner.models.plan_bytes import GIB
from limner.models.plan_cards import Card
from limner.models.plan_choice import Wishes
from limner.models.plan_ranks import RanksPlan
from limner.worker.crew import planning
from limner.worker.crew.config import CrewConfig
from limner.worker.crew.crew import Crew
from limner.worker.crew.messages import Hello
from limner.worker.crew.planning import Planning
from limner.worker.crew.rank_line import RankLine
from limner.worker.model_plan import NoRoomError, Planned
from limner.worker.model_source import ModelSource

LARGE = "wan-14b"
PATIENCE_S = 20.0


def source() -> ModelSource:
    entry = catalogue.load().find(LARGE)
    paths: Any = {part: Path(part) for part in ("dit", "vae", "taehv")}
    return ModelSource(name=LARGE, table=entry.engine, origin=entry.source, paths=paths)


def card(free_gib: float) -> Card:
    free = int(free_gib * GIB)
    return Card(index=0, name="own card", total_bytes=free, free_bytes=free, capability=(8, 9))


@dataclass
class Place:
    """A worker's crew, and cards of other machines that join it."""

    crew: Crew
    join: Callable[[float], RankLine]
    """With so many GiB free, and twice the processors of the worker's."""
    told: list[str] = field(default_factory=list)
    """Of the progress."""
    on_progress: Callable[[], object] = bool

    def planning(self, free_gib: float) -> Planning:
        """With a card of the worker's that has so much free."""
        return Planning(
            self.crew, source(), card(free_gib), processors=50, wishes=Wishes(), progress=self._progress
        )

    def _progress(self, share: float, words: str) -> None:
        self.told.append(words)
        self.on_progress()


Make = Callable[..., Place]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Make]:
    """Make a place; `listens`: whether cards of other machines may join."""
    lines: list[RankLine] = []
    crews: list[Crew] = []
    keys, address = new_keys(tmp_path / "key"), f"{LOOPBACK}:{free_port(LOOPBACK)}"

    def join(free_gib: float) -> RankLine:
        made = RankLine(endpoint=f"tcp://{address}", hello=hello(free_gib, f"other {len(lines)}"), keys=keys)
        lines.append(made)
        made.start()
        return made

    def make(*, listens: bool = True) -> Place:
        crew = Crew(
            CrewConfig(
                endpoint=f"ipc://{tmp_path}/ranks",
                engine=LARGE,
                kind="cuda",
                is_planned=True,
                devices=[],
                threads=1,
                listen=address if listens else "",
                keys=keys,
            )
        )
        crews.append(crew)
        return Place(crew, join)

    yield make
    for line in lines:
        line.close()
    for crew in crews:
        crew.close()


def hello(free_gib: float, process: str) -> Hello:
    return Hello(
        seat=-1,
        machine="studio",
        pid=7,
        device="cuda",
        device_name="a card",
        process=process,
        place=process,
        total_bytes=int(free_gib * GIB),
        free_bytes=int(free_gib * GIB),
        capability=(8, 9),
        processors=100,
    )


def test_all_cards_are_planned_with_and_told_how(place: Make, caplog: pytest.LogCaptureFixture) -> None:
    made = place()
    line = made.join(12)
    assert made.crew.wait_for_known(1, PATIENCE_S)
    with caplog.at_level(logging.INFO, "limner.worker"):
        model, rooms = made.planning(12).plan(0)
    assert isinstance(model.plan, RanksPlan)
    layers = model.plan.model.dit.layers
    assert max(model.plan.rooms) < layers <= sum(model.plan.rooms)
    own, other = rooms.costs(made.crew.known(), 0.0)
    assert (own.most_blocks, other.most_blocks) == model.plan.rooms
    assert own.block_ms == 2 * other.block_ms
    lines = [one for one in caplog.text.splitlines() if "Rank " in one]
    assert len(lines) == 2
    assert all("of 12.0 GiB free: blocks " in one for one in lines)
    made.crew.settle(model.choice)
    assert line.welcome(PATIENCE_S).choice == model.choice


def test_what_does_not_fit_is_refused_where_nobody_can_join(place: Make) -> None:
    with pytest.raises(NoRoomError, match=r"wan-14b lacks .* on the card that is there: .*own card"):
        place(listens=False).planning(12).plan(0)


def test_what_does_not_fit_waits_for_a_card_that_is_enough(
    place: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "AGAIN_S", PATIENCE_S)
    made = place()
    coming = iter([4.0, 12.0])

    def one_more() -> None:
        if made.told[-1].startswith("Waiting for another device"):
            made.join(next(coming))

    made.on_progress = one_more
    model, _ = made.planning(12).plan(0)
    assert isinstance(model, Planned)
    assert len(made.crew.known()) == 2
    first, second = (words for words in made.told if "lacks" in words)
    assert "on the card that is there" in first
    assert "on 2 cards" in second


def test_a_card_that_ran_out_is_planned_lower(place: Make) -> None:
    made = place()
    made.join(24)
    assert made.crew.wait_for_known(1, PATIENCE_S)
    best, lower = (made.planning(24).plan(down)[0].choice for down in (0, 1))
    assert best is not None
    assert lower is not None
    assert best != lower
