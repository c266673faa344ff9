"""The lock files: complete, with hashes, and without the name of any registry."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "installer" / "lock"
LOCKS = ("requirements.lock", "requirements-dev.lock", "torch.lock", "torch-cpu.lock")


def locked(name: str) -> dict[str, list[str]]:
    """Return package → versions (two where newer Pythons get a newer one)."""
    found: dict[str, list[str]] = {}
    for package, version in re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", (LOCK / name).read_text(), re.MULTILINE):
        found.setdefault(canonicalize_name(package), []).append(version)
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_names_no_registry(name: str) -> None:
    text = (LOCK / name).read_text()
    assert "://" not in text
    assert "--index-url" not in text


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_has_a_hash(name: str) -> None:
    entries = re.split(r"^(?=[A-Za-z0-9])", (LOCK / name).read_text(), flags=re.MULTILINE)[1:]
    assert entries
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_no_cuda_for_machines_without_it(name: str) -> None:
    assert [p for p in locked(name) if p.startswith(("nvidia", "cuda", "triton", "torch"))] == []


def test_holds_what_pyproject_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    runtime, extras = project["dependencies"], project["optional-dependencies"]
    wanted = {
        "requirements.lock": runtime,
        "requirements-dev.lock": runtime + extras["train"] + extras["dev"],
    }
    for name, requirements in wanted.items():
        versions = locked(name) | locked("torch.lock")
        for requirement in map(Requirement, requirements):
            if requirement.name == "limner":
                continue
            held = versions.get(canonicalize_name(requirement.name), [])
            assert held, f"{requirement} is not in {name}; run: bash installer/lock/update.sh"
            assert all(requirement.specifier.contains(v, prereleases=True) for v in held)


def test_tests_run_on_what_users_get() -> None:
    runtime, dev = locked("requirements.lock"), locked("requirements-dev.lock")
    assert {package: dev.get(package) for package in runtime} == runtime


def test_both_builds_of_torch_are_the_same_version() -> None:
    [plain], [cpu] = locked("torch.lock")["torch"], locked("torch-cpu.lock")["torch"]
    assert cpu == f"{plain}+cpu"
    assert (LOCK / "torch.in").read_text().strip() == f"torch=={plain}"
