"""`python -m limner.worker.rank`: a rank of a pipeline beside the worker's own.

On the worker's machine the worker starts it. On another one a person does, by `limner ranks join`.
"""

from __future__ import annotations

import argparse
import ctypes
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from limner.daemon.rank_keys import read_keys
from limner.worker.card import see_only
from limner.worker.crew.messages import Hello, Load
from limner.worker.crew.rank_channel import RankChannel
from limner.worker.crew.rank_line import RankLine
from limner.worker.link import EXIT_ORPHAN

if TYPE_CHECKING:
    from limner.engine.pipeline.group import Group
    from limner.worker.crew.serving import Serve, Server

log = logging.getLogger("limner.worker")
NICENESS = 10
SWITCH_INTERVAL_S = 0.001
_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Serve one generation after another until the worker ends; return the exit code."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s rank %(levelname)s %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if arguments.parent is not None:
        _die_with(arguments.parent)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    os.nice(NICENESS)
    device = see_only(arguments.device)
    from limner.worker.crew.device import about_device  # noqa: PLC0415  (torch, seconds)
    from limner.worker.crew.serving import joined, server_for  # noqa: PLC0415  (torch, seconds)

    hello = Hello(
        seat=arguments.seat,
        machine=socket.gethostname()[:100],
        pid=os.getpid(),
        device=arguments.device,
        process=secrets.token_hex(16),
        **about_device(device, arguments.seat),
    )
    keys = read_keys(arguments.key) if arguments.key else None
    line = RankLine(endpoint=arguments.endpoint, hello=hello, keys=keys, parent_pid=arguments.parent)
    line.start()
    welcome = line.welcome()
    server = server_for(welcome, device=device, threads=arguments.threads)
    line.knows(server.digest)
    while True:
        order = line.order()
        if isinstance(order, Load):
            _load(line, order, server)
        else:
            _serve(line, order, server.serve, partial(joined, device=device))


def _load(line: RankLine, order: Load, server: Server) -> None:
    """Have the blocks that the next generation will ask for."""
    try:
        server.load(range(order.first, order.end))
    except Exception as error:
        # Whatever it was: it will show again when the blocks have to be there, and is dealt with then.
        log.exception("blocks %d to %d could not be loaded", order.first, order.end - 1)
        line.loaded(order, f"{type(error).__name__}: {error}")
    else:
        line.loaded(order)


def _serve(line: RankLine, channel: RankChannel, serve: Serve, join: Callable[[RankChannel], Group]) -> None:
    """One generation, from its gathering to its end, however it ends."""
    from limner.engine.errors import EngineError, GroupBrokenError  # noqa: PLC0415  (torch)
    from limner.engine.pipeline.channel import ChannelClosedError  # noqa: PLC0415  (torch)
    from limner.worker.crew.device import free_memory, is_no_memory  # noqa: PLC0415  (torch)

    try:
        group = join(channel)
    except GroupBrokenError as error:
        line.fallen(channel, str(error), is_own=False)
        return
    except (EngineError, OSError) as error:  # OSError: there is no way to rank 0 now.
        line.fallen(channel, str(error))
        return
    channel.attach(group.abort, lambda: group.is_waited_for)
    try:
        serve(channel, group)
    except ChannelClosedError:
        log.info("generation %d is over", channel.gather.generation)
    except GroupBrokenError as error:
        # Another rank is gone, or the worker has ended the generation while we waited for data.
        log.info("generation %d broke: %s", channel.gather.generation, error)
        line.fallen(channel, str(error), is_own=False)
    except Exception as error:
        # The top of the rank: whatever it was, the next generation begins anew.
        log.exception("generation %d failed", channel.gather.generation)
        line.fallen(channel, f"{type(error).__name__}: {error}", no_memory=is_no_memory(error))
    finally:
        group.abort()
        free_memory()


def _die_with(parent: int) -> None:
    """Be killed when the worker's thread that started us ends, even if we are stopped."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(EXIT_ORPHAN)


def _own_device(environment: Mapping[str, str]) -> str:
    """The device where none is said: where torchrun started us, one process for each GPU, or the CPU."""
    local = environment.get("LOCAL_RANK", "")
    return f"cuda:{local}" if local.isdigit() else "cpu"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="limner.worker.rank", description=__doc__)
    parser.add_argument("--endpoint", required=True, help="the worker's socket for ranks")
    parser.add_argument("--device", default=_own_device(os.environ), help="cpu, cuda or cuda:N")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--seat", type=int, default=-1, help="place on the worker's machine")
    parser.add_argument("--parent", type=int, help="process id of the worker")
    parser.add_argument("--key", type=Path, help="key file, for a worker on another machine")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
