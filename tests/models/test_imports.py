"""The package of the models stands below the daemon: no torch, no engine, no network library at once."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import importlib, pkgutil, sys
import limner.models
for module in pkgutil.iter_modules(limner.models.__path__):
    importlib.import_module(f"limner.models.{module.name}")
heavy = {"torch", "numpy", "huggingface_hub", "zmq"}
ours = {".".join(name.split(".")[:2]) for name in sys.modules if name.startswith("limner.")}
print(sorted(heavy & set(sys.modules)), sorted(ours - {"limner.models"}))
"""


def test_it_imports_nothing_heavy_and_nothing_above_it() -> None:
    assert subprocess.check_output([sys.executable, "-c", CODE], text=True).strip() == "[] []"
