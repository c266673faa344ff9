"""The lanes of an engine over a crew: they stay while its ring is another every now and then."""

from __future__ import annotations

from limner.engine.errors import ChunkLostError
from limner.engine.pipeline.lanes import PipelineLanes
from limner.worker.crew.engine import CrewEngine


class CrewLanes(PipelineLanes):
    """PipelineLanes that ask the ring nothing which they must know while it is mended."""

    def __init__(self, engine: CrewEngine, threads: int = 1) -> None:
        """As `PipelineLanes`."""
        super().__init__(engine, threads)
        self._most_inside = engine.most_ranks + 2

    @property
    def most_inside(self) -> int:
        """For all ranks that may come: chunks that are too many for those who are there wait in the ring."""
        return self._most_inside

    def close(self) -> None:
        """As `PipelineLanes`; where the ranks are lost, so is what was begun."""
        try:
            super().close()
        except ChunkLostError:
            self._coding.shutdown()
            self._finishing.shutdown()
