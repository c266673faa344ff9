"""`python -m limner.worker.check_model NAME`: whether the engine takes a model's tables, without its files.

Prints one sentence and ends with 1 when it does not. For those that must not import torch themselves.
"""

from __future__ import annotations

import sys

from limner.engine.errors import EngineError
from limner.models import catalogue
from limner.models.errors import ModelsError
from limner.worker.model_loading import config_of
from limner.worker.model_source import ModelSource


def main(name: str) -> int:
    """Check a model of the catalogue; return the exit code."""
    try:
        entry = catalogue.load().find(name)
        config_of(ModelSource(name=name, table=entry.engine, origin=entry.source, paths={}))
    except (ModelsError, EngineError) as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
