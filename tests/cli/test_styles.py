"""`limner styles`, as processes, and a daemon that takes over what it writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from tests.cli.runner import Result, run_limner
from tests.support.daemon import running_daemon, wait_for


@pytest.fixture
def limner(no_daemon: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Limner:
    monkeypatch.setenv("LIMNER_CONFIG_DIR", str(tmp_path))
    return Limner(no_daemon, tmp_path / "styles.toml")


class Limner:
    def __init__(self, runtime_dir: Path, file: Path) -> None:
        self._runtime_dir, self.file = runtime_dir, file

    def __call__(self, *arguments: str | Path) -> Result:
        return run_limner(self._runtime_dir, "styles", *arguments)

    def names(self) -> list[str]:
        return [style["name"] for style in json.loads(self("list", "--json").out)]


def test_the_life_of_a_style(limner: Limner) -> None:
    box = limner.names()
    assert limner("add", "Mine", "--mix", "oil=2", "--mix", "fog", "--strength", "0.7").code == 0
    assert limner.names() == [*box, "Mine"]
    assert limner("add", "mine", "--prompt", "x").sentence.startswith(
        "there is a style 'Mine'; change it with"
    )
    assert limner("edit", "mine", "--prompt", "fog", "--notes", "late").code == 0
    shown = json.loads(limner("show", "Mine", "--json").out)
    assert (shown["prompt"], shown["mix"], shown["strength"]) == ("fog", [], 0.7)
    assert "notes: late" in limner("show", "mine").out
    assert limner("remove", "mine").code == 0
    assert limner.names() == box


def test_one_in_the_box_is_changed_in_the_users_file_only(limner: Limner) -> None:
    assert limner("edit", "Sepia", "--strength", "0.9").code == 0
    assert 'name = "sepia"\nstrength = 0.9\n' in limner.file.read_text()
    assert "sepia *" in limner().out
    assert "as it comes with Limner again" in limner("remove", "sepia").err
    assert 'hide = ["sepia"]' in limner("remove", "sepia").sentence


def test_export_and_import(limner: Limner, tmp_path: Path) -> None:
    other = tmp_path / "shared.toml"
    assert "no style of your own" in limner("export").sentence
    limner("add", "mine", "--prompt", "fog", "--lora", "film=0.5")
    assert limner("export", "mine", "noir", "--to", other).code == 0
    assert "there already" in limner("export", "mine", "--to", other).sentence
    assert "you have a style 'mine' already" in limner("import", other).sentence
    limner("edit", "mine", "--prompt", "else")
    assert "2 imported: mine, noir" in limner("import", other, "--replace").err
    assert json.loads(limner("show", "mine", "--json").out)["prompt"] == "fog"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "nior"], "unknown style 'nior'; did you mean 'noir'?"),
        (["add", "x"], "'x' is new and needs a prompt or a mix"),
        (["add", "custom", "--prompt", "x"], "'custom' is taken"),
        (["edit", "noir", "--unset", "prompts"], "--unset 'prompts' is no key of a style"),
        (["import", "/nonexistent"], "cannot read the styles in /nonexistent"),
    ],
)
def test_faults_are_one_sentence_and_change_nothing(limner: Limner, arguments: list[str], words: str) -> None:
    result = limner(*arguments)
    assert result.code == 1 and words in result.sentence
    assert not limner.file.exists()


def test_a_faulty_file_is_named_and_not_overwritten(limner: Limner) -> None:
    limner.file.write_text('[[styles]]\nname = "noir"\nsteps = 9\n')
    result = limner("list")
    assert (result.code, "line 3: styles[0].steps is 9" in result.sentence) == (1, True)
    assert "noir" in result.out
    assert limner("add", "x", "--prompt", "y").code == 1
    assert "steps = 9" in limner.file.read_text()


def test_a_running_daemon_takes_over_and_names_a_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMNER_CONFIG_DIR", str(tmp_path))
    with running_daemon() as daemon:
        limner = Limner(daemon.runtime_dir, tmp_path / "styles.toml")
        assert limner("add", "mine", "--prompt", "fog").code == 0
        wait_for(lambda: "mine" in daemon.query().styles, "the new style")
        limner.file.write_text(limner.file.read_text() + "steps = 7\n")
        wait_for(lambda: "steps is 7" in daemon.query().styles_problem, "the mistake")
        assert "mine" in daemon.query().styles
        status = run_limner(daemon.runtime_dir, "status")
        assert "styles.toml, line" in status.out and "steps is 7" in status.out
        assert "steps is 7" in daemon.log()


def test_thumbnails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMNER_CONFIG_DIR", str(tmp_path))
    with running_daemon() as daemon:
        daemon.wait_ready()
        result = run_limner(daemon.runtime_dir, "styles", "thumbnails", "noir", "pop art")
        assert result.code == 0, result.err
        folder = tmp_path / "thumbnails"
        assert result.out.splitlines() == [str(folder / "noir.png"), str(folder / "pop-art.png")]
        with Image.open(folder / "noir.png") as image:
            assert image.width <= 320 and len(set(image.tobytes())) > 100
        wrong = run_limner(daemon.runtime_dir, "styles", "thumbnails", "noir", "--from", "/dev/null")
        assert "cannot read a picture" in wrong.sentence
