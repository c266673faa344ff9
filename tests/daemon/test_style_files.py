"""The user's file of styles: how it lies over those in the box, how it is read again, how it is edited."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.daemon.room import Room

from limner.daemon import protocol as p
from limner.daemon import worker_protocol as w
from limner.daemon.settings import resolve
from limner.daemon.style_edit import added, edited, exported, removed, save
from limner.daemon.style_file import StylesError, built_in, load, parse
from limner.daemon.style_lines import blocks, line_of
from limner.daemon.style_watch import StyleWatch
from limner.daemon.styles import Entry, Style, Styles

BOX = Styles([Style(name=name, prompt=name, strength=0.5) for name in ("noir", "neon", "sepia")])
PATH = Path("styles.toml")
FILE = '''# My looks.
order = ["mine"]

# for the evenings
[[styles]]
name = "mine"  # the best
prompt = """
[[styles]]
name = "no entry: a text"
"""
strength = 0.7

# louder
[[styles]]
name = "Neon"
strength = 0.9
[[styles.lora]]
name = "glow"

[[rules]]
scene = "Gaming"
style = "neon"
# the end
'''


def over(text: str) -> Styles:
    return parse(text, PATH, BOX)[0]


# ---- over the box


def test_a_file_changes_what_it_says_and_adds_behind() -> None:
    styles = over('[[styles]]\nname = "NEON"\nstrength = 0.9\n[[styles]]\nname = "mine"\nprompt = "fog"\n')
    assert styles.names == ["noir", "NEON", "sepia", "mine"]
    assert (styles.find("neon").prompt, styles.find("neon").strength) == ("neon", 0.9)
    assert [style.is_own for style in styles] == [False, True, False, True]


def test_order_and_hide() -> None:
    styles = over('order = ["sepia", "mine"]\nhide = ["noir"]\n[[styles]]\nname = "mine"\nprompt = "fog"\n')
    assert styles.names == ["sepia", "mine", "neon"]


def test_a_mix_needs_no_prompt_and_an_own_prompt_is_not_behind_a_mix() -> None:
    text = '[[styles]]\nname = "neon"\nmix = [{ prompt = "a", weight = 2 }, { prompt = "b" }]\n'
    mixed = over(text)
    assert mixed.find("neon").prompt == "a, b"
    assert parse('[[styles]]\nname = "neon"\nprompt = "c"\n', PATH, mixed)[0].find("neon").mix == []


def test_a_style_brings_its_seed_and_its_loras_and_the_next_takes_them_away() -> None:
    loras = [p.Lora(name="grain", weight=0.5)]
    styles = Styles(
        [Style(name="film", prompt="film", seed=7, lora=loras), Style(name="neon", prompt="neon")]
    )
    settings, _ = resolve(p.Settings(), p.Change(style="film"), styles)
    assert (settings.seed, settings.lora) == (7, loras)
    own, _ = resolve(settings, p.Change(prompt="fog"), styles)
    assert own.lora == loras, "what the style painted with stays until another style comes"
    assert resolve(settings, p.Change(style="neon"), styles)[0].lora == []


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('[[styles]]\nname = "x"\nstrength = 0.5\n', 1, "'x' is new and needs a prompt or a mix"),
        ('order = ["neom"]\n', 1, "order names 'neom', which is no style; did you mean 'neon'"),
        ('# ok\nhide = ["x"]\n', 2, "hide names 'x'"),
        ('[[styles]]\nname = "neon"\n\nsteps = 9\n', 4, "must be a whole number from 1 to 4"),
        ('[[styles]]\nname = "neon"\nlora = [{ name = "a", weigth = 1 }]\n', 3, "weigth"),
        ('[[style]]\nname = "neon"\n', 1, "unknown key 'style'; did you mean 'styles'"),
        ('[[rules]]\nscene = "a"\n[[rules]]\nscene = "b"\nstile = "x"\n', 1, "changes nothing"),
        ('[[rules]]\nscene = "a"\nstyle = "x"\n[[rules]]\nscene = "b"\nstile = "x"\n', 6, "stile"),
        ('[[rules]]\nstyle = "x"\n', 1, "no condition"),
        (f'[[styles]]\nname = "{"x" * 101}"\nprompt = "y"\n', 2, "name has 101 characters"),
        ("".join(f'[[styles]]\nname = "{n}"\nprompt = "y"\n' for n in range(201)), 1, "has 201 entries"),
        ('[[rules]]\nfilter = "F"\nstyle = "x"\n', 1, "of which source"),
        ('[[rules]]\nsource = "S"\nstyle = "x"\n', 1, "add a filter of it, or shown"),
        ('[[rules]]\nscene = "S"\nenabled = true\nstyle = "x"\n', 1, "no filter"),
        ('[[rules]]\nscene = "S"\nstrength = 1.5\n', 3, "strength is 1.5"),
    ],
)
def test_a_fault_has_file_line_and_key(text: str, line: int, words: str) -> None:
    with pytest.raises(StylesError) as caught:
        parse(text, PATH, BOX)
    assert words in str(caught.value)
    assert f"{PATH}, line {line}: " in str(caught.value)


def test_what_is_in_a_string_is_no_place() -> None:
    assert line_of(FILE, ["styles", 0, "strength"]) == 11
    assert line_of(FILE, ["styles", 1, "name"]) == 15
    assert line_of(FILE, ["styles", 1, "lora", 0, "name"]) == 15, "the nearest that is known"
    assert line_of(FILE, ["rules", 0, "style"]) == 22


@pytest.mark.parametrize("engine", ["pocket", "echo", "wan-1.3b", "my-model", "tests.module:engine"])
def test_every_model_has_styles_in_the_box(engine: str) -> None:
    styles = load(built_in(engine))
    assert len(styles.names) >= 10
    assert not any(style.is_own for style in styles)
    assert ("." in styles.find("noir").prompt) == engine.endswith(("b", "model"))


# ---- read again


def test_a_changed_file_is_read_once_it_has_settled(tmp_path: Path) -> None:
    own = tmp_path / "styles.toml"
    watch = StyleWatch(built_in(), own)
    first = watch.styles.names
    assert not watch.poll()
    own.write_text('[[styles]]\nname = "mine"\nprompt = "fog"\n[[rules]]\nscene = "a"\nstyle = "mine"\n')
    assert not watch.poll(), "the editor may still write"
    assert watch.poll() and not watch.poll()
    assert watch.styles.names == [*first, "mine"] and watch.rules[0].scenes == ["a"]

    own.write_text('[[styles]]\nname = "mine"\nprompt = "fog"\nsteps = 7\n')
    assert not watch.poll() and watch.poll()
    assert "line 4: styles[0].steps is 7" in watch.problem
    assert watch.styles.names == [*first, "mine"] and watch.rules, "the last good ones"

    own.unlink()
    assert not watch.poll() and watch.poll()
    assert (watch.problem, watch.styles.names, watch.rules) == ("", first, [])


def test_a_daemon_starts_with_a_faulty_file_and_says_so(tmp_path: Path) -> None:
    own = tmp_path / "styles.toml"
    own.write_text("[[styles\n")
    watch = StyleWatch(built_in(), own)
    assert watch.styles.names and "line 1" in watch.problem


def test_a_changed_style_changes_the_sessions_in_it_but_not_what_a_hand_did() -> None:
    room = Room("limner-test-restyle-")
    room.painting("A", b"a")
    room.painting("B", b"b")
    room.say(p.Set(rev=1, change=p.Change(style="neon")), b"a")
    room.say(p.Set(rev=2, change=p.Change(strength=0.11)), b"a")
    room.say(p.Set(rev=1, change=p.Change(style="noir")), b"b")
    room.told(w.Update)
    text = '[[styles]]\nname = "neon"\nprompt = "bright neon"\nstrength = 0.9\n'
    new, _ = parse(text, PATH, load())
    room.hub.styles_changed(new, "")
    (update,) = room.told(w.Update)
    assert (update.session, update.settings.prompt) == ("A", "bright neon")
    assert update.settings.strength == 0.11
    room.hub.styles_changed(new, "line 3 is wrong")
    assert room.told(w.Update) == []
    assert room.hub.overview().styles_problem == "line 3 is wrong"
    room.hub.close_all("over")


# ---- edited


def test_an_edit_touches_nothing_else() -> None:
    text = edited(FILE, "MINE", {"strength": 0.25, "notes": 'he said "hi"'}, without=["prompt"])
    assert tomllib.loads(text)["styles"][0] == {"name": "mine", "strength": 0.25, "notes": 'he said "hi"'}
    before, after = FILE.splitlines(), text.splitlines()
    assert [line for line in before if line not in after] == [
        'prompt = """', 'name = "no entry: a text"', '"""', "strength = 0.7",
    ]  # fmt: skip
    assert '# for the evenings\n[[styles]]\nname = "mine"  # the best\n' in text


def test_a_new_style_comes_behind_the_last_one() -> None:
    text = added(FILE, Entry(name="new", mix=[p.PromptShare(prompt="a", weight=2)]))
    assert [entry["name"] for entry in tomllib.loads(text)["styles"]] == ["mine", "Neon", "new"]
    assert [line for line in FILE.splitlines() if line not in text.splitlines()] == []
    assert text.index('"new"') < text.index("[[rules]]")
    assert tomllib.loads(added("", Entry(name="x", prompt="y")))["styles"] == [{"name": "x", "prompt": "y"}]


def test_comments_survive_a_removal() -> None:
    text = removed(removed(FILE, "neon"), "mine")
    assert "styles" not in tomllib.loads(text)
    comments = [line for line in FILE.splitlines() if line.startswith("#")]
    assert [line for line in text.splitlines() if line.startswith("#")] == comments
    assert tomllib.loads(text)["rules"] == tomllib.loads(FILE)["rules"]


def test_a_file_in_an_unusual_shape_is_left_alone() -> None:
    with pytest.raises(StylesError, match="only its author"):
        added('styles = [{ name = "a", prompt = "b" }]\n', Entry(name="x", prompt="y"))


def test_what_is_exported_can_be_read(tmp_path: Path) -> None:
    entry = Entry(name='a "b"\\', prompt="x\ny", lora=[p.Lora(name="l", weight=0.5)], seed=3, steps=2)
    styles = parse(exported([entry]), PATH, Styles([]))[0]
    assert (styles.find('a "b"\\').prompt, styles.find('a "b"\\').lora) == ("x\ny", entry.lora)


def test_saving_follows_a_link_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    real = tmp_path / "dotfiles" / "styles.toml"
    real.parent.mkdir()
    real.write_text("a")
    real.chmod(0o600)
    link = tmp_path / "styles.toml"
    link.symlink_to(real)
    save(link, "b")
    assert link.is_symlink() and real.read_text() == "b"
    assert real.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in real.parent.iterdir()] == ["styles.toml"]


names = st.sampled_from(["a", "b b", 'c "c"', "ä # no comment", "[[styles]]"])
comments = st.sampled_from(["# one", "  # two", '# """ three', "#[[styles]]", "# 'four"])
prompts = st.sampled_from(['"x"', "'''\n[[styles]]\n# not one\n'''", '"""\\\n  y"""', '"# z"', "'[[rules]]'"])


@st.composite
def files(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A file with its own ways, and its comment lines from the top down."""
    parts, said = [], []

    def chatter() -> None:
        for comment in draw(st.lists(comments, max_size=2)):
            said.append(comment)
            parts.append(f"{comment}\n" + "\n" * draw(st.integers(0, 1)))

    chatter()
    for name in draw(st.lists(names, unique=True, max_size=4)):
        parts.append(f"[[styles]]\nname = {msgspec.json.encode(name).decode()}\n")
        chatter()
        parts.append(f"prompt = {draw(prompts)}\n")
        if draw(st.booleans()):
            parts.append('  [[styles.lora]]\n  name = "l"\n')
        if draw(st.booleans()):
            parts.append('[[rules]]\nscene = "s"\nbypass = true\n')
        chatter()
    return "".join(parts), said


@given(files(), st.lists(st.tuples(st.sampled_from(["add", "edit", "remove"]), names), max_size=4))
def test_whatever_is_edited_the_rest_stays_as_it_is(
    made: tuple[str, list[str]], edits: list[tuple[str, str]]
) -> None:
    text, said = made
    for what, name in edits:
        there = [entry["name"] for entry in tomllib.loads(text).get("styles", [])]
        rules = tomllib.loads(text).get("rules", [])
        if what == "add" and name not in there:
            text = added(text or "\n", Entry(name=name, prompt="new"))
        elif what == "edit" and name in there:
            text = edited(text, name, {"strength": 0.5, "prompt": "other"})
        elif what == "remove" and name in there:
            inside = _comments_inside(text, name)
            text = removed(text, name)
            said = [comment for comment in said if comment not in inside]
        assert tomllib.loads(text).get("rules", []) == rules
    kept = [line for line in _plain_lines(text) if line.strip().startswith("#")]
    assert [line for line in kept if line in said] == [line for line in said if line in kept]
    assert set(said) <= set(kept)


def _comments_inside(text: str, name: str) -> set[str]:
    """Return the comments that go with a style: those between its first line and its last."""
    entries = [entry["name"] for entry in tomllib.loads(text)["styles"]]
    block = [block for block in blocks(text) if block.name == "styles"][entries.index(name)]
    return {line for line in text.splitlines()[block.start : block.end] if line.strip().startswith("#")}


def _plain_lines(text: str) -> list[str]:
    """Return the lines that are not inside a string."""
    return [line for line in text.splitlines() if line != "# not one"]
