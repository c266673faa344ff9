"""`python -m limner.worker`: started by the daemon, never by hand."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from pathlib import Path

import msgspec

from limner.daemon.protocol import MAX_NAME_CHARS
from limner.daemon.rank_options import RankOptions
from limner.daemon.worker_protocol import EXIT_NO_ENGINE, EXIT_NO_MEMORY, Failed, Loading, Ready
from limner.models.errors import ModelsError
from limner.models.plan_choice import Wishes
from limner.worker.desk import Desk
from limner.worker.engines import ECHO, FatalEngineError, load_engine
from limner.worker.link import Link
from limner.worker.loop import Loop
from limner.worker.stats import OverRanks, Stats

log = logging.getLogger("limner.worker")
NICENESS = 10
SWITCH_INTERVAL_S = 0.001
EXIT_FATAL = 4


def main() -> int:
    """Run a worker until the daemon stops it or goes; return the exit code."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The link must not wait for the interpreter while the loop prepares a chunk.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    desk, stats = Desk(), Stats()
    link = Link(
        endpoint=arguments.endpoint,
        identity=arguments.identity,
        parent_pid=arguments.parent,
        on_message=desk.put,
        report=stats.report,
    )
    link.start()
    if arguments.engine != ECHO:
        # OBS and its encoder come first. On Linux this is the calling thread's and that of the threads it
        # will start, so the link, which hardly computes, keeps its place.
        os.nice(NICENESS)
    try:
        return _work(arguments, desk, stats, link)
    finally:
        link.close()


def _work(arguments: argparse.Namespace, desk: Desk, stats: Stats, link: Link) -> int:
    def progress(share: float, what: str) -> None:
        link.send(Loading(progress=share, what=what))

    name = arguments.engine
    progress(0.0, f"Loading {name}")
    try:
        engine = load_engine(
            name,
            threads=arguments.threads,
            device=arguments.device,
            progress=progress,
            wishes=msgspec.json.decode(arguments.wishes, type=Wishes),
            step_down=arguments.step_down,
            ranks=msgspec.json.decode(arguments.ranks, type=RankOptions),
            folder=Path(arguments.endpoint.removeprefix("ipc://")).parent,
        )
    except MemoryError as error:
        log.exception("no memory for %s", name)
        link.send(Failed(session="", message=_short(f"Not enough memory for {name} as planned: {error}")))
        return EXIT_NO_MEMORY
    except ModelsError as error:
        # It says all: what is missing and what to do.
        log.error("%s", error)
        link.send(Failed(session="", message=_short(str(error))))
        return EXIT_NO_ENGINE
    except Exception as error:
        log.exception("cannot load %s", name)
        link.send(Failed(session="", message=_short(f"Cannot load {name}: {error}")))
        return EXIT_NO_ENGINE
    desk.frames_per_chunk = engine.frames_per_chunk
    if isinstance(engine, OverRanks):
        stats.ranks = engine.ranks
    link.send(Ready(model=engine.model, device=engine.device, frames_per_chunk=engine.frames_per_chunk))
    try:
        Loop(engine=engine, desk=desk, stats=stats, send=link.send).run()
    except (FatalEngineError, MemoryError) as error:
        log.exception("cannot go on")
        text = str(error) or "not enough memory"
        link.send(Failed(session="", message=_short(f"The painter stopped: {text}")))
        return EXIT_NO_MEMORY if isinstance(error, MemoryError) else EXIT_FATAL
    finally:
        engine.close()
    return 0


def _short(text: str) -> str:
    return text if len(text) <= 2 * MAX_NAME_CHARS else text[: 2 * MAX_NAME_CHARS] + "…"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="limner.worker", description=__doc__)
    parser.add_argument("--endpoint", required=True, help="the daemon's worker socket")
    parser.add_argument("--identity", required=True, help="who we are on that socket")
    parser.add_argument("--engine", required=True, help="what paints")
    parser.add_argument("--device", default="auto", help="where to paint: auto, cpu, cuda or cuda:N")
    parser.add_argument("--wishes", default="{}", help="what of the GPU's memory is pinned, JSON")
    parser.add_argument("--step-down", type=int, default=0, help="plans that were too much already")
    parser.add_argument("--ranks", default="{}", help="what paints with this process, JSON")
    parser.add_argument("--threads", type=int, required=True, help="CPU threads")
    parser.add_argument("--parent", type=int, required=True, help="process id of the daemon")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
