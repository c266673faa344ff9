"""What a daemon of a command's own is started with: what the user chose for every daemon."""

from __future__ import annotations

from typing import Any

from limner.cli.errors import EXIT_USAGE, CliError
from limner.daemon.config import DaemonConfig
from limner.daemon.expected import best_engine
from limner.daemon.saved import SavedError, check, read
from limner.models.catalogue import AUTO
from limner.models.plan_choice import Wishes
from limner.models.plan_torch import torch_build


def config_as_saved(engine: str | None = None) -> DaemonConfig:
    """Return the user's choices of config.toml, with `engine` if the command names one.

    Raises CliError where a daemon would not start with them.
    """
    try:
        saved = read()
        check(saved, but=[] if engine is None else ["engine"])
        said = {"engine": engine or saved.engine, "device": saved.device, "threads": saved.threads}
        fields: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
        wishes = saved.memory or Wishes()
        if fields.get("engine") == AUTO:
            fields["engine"] = best_engine(fields.get("device", "auto"), wishes, torch_build())
        return DaemonConfig(**fields, wishes=wishes)
    except SavedError as error:
        raise CliError(str(error)) from error
    except ValueError as error:
        raise CliError(str(error), exit_code=EXIT_USAGE) from error
