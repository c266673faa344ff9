"""`limner rules`, as processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.runner import Result, run_limner
from tests.support.daemon import RunningDaemon, wait_for

from limner.daemon.client import Client
from limner.daemon.protocol import ObsFilter, ObsInfo

RULES = """
[[rules]]
scene = "Gaming"
style = "neon"

[[rules]]
source = "Cam"
filter = "Dream"
strength = 0.8
session = "Cam"
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIMNER_CONFIG_DIR", str(tmp_path))
    return tmp_path / "styles.toml"


def rules(runtime_dir: Path, *arguments: str) -> Result:
    return run_limner(runtime_dir, "rules", *arguments)


def test_without_a_rule_the_list_shows_one(no_daemon: Path, file: Path) -> None:
    shown = rules(no_daemon).out
    assert "[[rules]]" in shown and str(file) in shown
    example = "\n".join(line for line in shown.splitlines() if line.startswith("  "))
    file.write_text(example.replace("  ", "", 1))
    assert rules(no_daemon, "check").out.startswith("3 rules, no mistake")


def test_list_and_explain_without_obs(no_daemon: Path, file: Path) -> None:
    file.write_text(RULES)
    listed = rules(no_daemon).out
    assert "scene is Gaming" in listed and "filter Dream of Cam is on" in listed
    assert len(json.loads(rules(no_daemon, "list", "--json").out)) == 2
    assert "say --scene NAME" in rules(no_daemon, "explain").sentence
    told = rules(
        no_daemon, "explain", "--scene", "Gaming", "--filter", "Cam/Dream=on", "--session", "Cam"
    ).out
    assert "Cam: style neon: rule 1, scene is 'Gaming'; strength 0.8: rule 2" in told
    other = rules(no_daemon, "explain", "--scene", "Main", "--preview", "Gaming").out
    assert "scene is 'Main', not 'Gaming'" in other and "Gaming would bring: style neon" in other
    wrong = rules(no_daemon, "explain", "--scene", "x", "--filter", "Cam=on")
    assert wrong.code == 2 and "SOURCE/FILTER=on" in wrong.err


def test_check_names_what_is_wrong(no_daemon: Path, file: Path) -> None:
    file.write_text(RULES.replace('"neon"', '"neom"'))
    assert "rule 1: there is no style 'neom'; did you mean 'neon'?" in rules(no_daemon, "check").sentence
    file.write_text(RULES.replace("scene =", "scenes ="))
    assert (
        "line 3: unknown key 'scenes' in rules[0]; did you mean 'scene'" in rules(no_daemon, "check").sentence
    )


def test_explain_looks_at_obs_as_it_is(daemon: RunningDaemon, file: Path) -> None:
    file.write_text(RULES)
    info = ObsInfo(
        connected=True,
        sentence="connected to OBS 29.0.2, scene 'Gaming'",
        scene="Gaming",
        filters=[ObsFilter(source="Cam", filter="Dream", enabled=True)],
    )
    with Client(daemon.runtime_dir) as client:
        client.tell_of_obs(info)
        wait_for(lambda: client.query().obs == info, "the report")
        told = rules(daemon.runtime_dir, "explain").out
        assert "On air: Gaming" in told and "Every filter: style neon" in told
        off = rules(daemon.runtime_dir, "explain", "--scene", "Main", "--session", "Cam").out
        assert "Cam: strength 0.8: rule 2" in off
        assert "OBS: connected to OBS 29.0.2" in run_limner(daemon.runtime_dir, "status").out
