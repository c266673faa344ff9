"""Where obs-websocket listens, by what OBS itself has written."""

from __future__ import annotations

from pathlib import Path

import pytest

from limner.installer import obs_config
from limner.obs_bridge.addresses import Address, AddressError, addresses

SERVER = obs_config.WebSocket(port=4477, password='a\\n"b"; c=d')
OFF = '{"server_enabled": false, "server_port": 4455, "server_password": "x", "auth_required": true}'


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIMNER_CONFIG_DIR", str(tmp_path / "limner"))
    (tmp_path / "limner").mkdir()
    return tmp_path / "limner"


def write_json(folder: Path, text: str) -> Path:
    path = folder / "plugin_config" / "obs-websocket" / "config.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def write_ini(folder: Path, websocket: obs_config.WebSocket | None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "global.ini"
    path.write_text("\ufeff" + obs_config.global_ini("P", "C", websocket=websocket, preview=False))
    return path


def test_of_obs_30(tmp_path: Path, config: Path) -> None:
    path = write_json(tmp_path / ".config" / "obs-studio", obs_config.websocket_json(SERVER))
    assert addresses(tmp_path, {}) == [Address(port=4477, password=SERVER.password, source=path)]


def test_of_obs_29(tmp_path: Path, config: Path) -> None:
    path = write_ini(tmp_path / ".config" / "obs-studio", SERVER)
    assert addresses(tmp_path, {}) == [Address(port=4477, password=SERVER.password, source=path)]


@pytest.mark.parametrize(
    "folder",
    [".var/app/com.obsproject.Studio/config/obs-studio", "snap/obs-studio/current/.config/obs-studio"],
)
def test_of_flatpak_and_snap(tmp_path: Path, config: Path, folder: str) -> None:
    path = write_json(tmp_path / folder, obs_config.websocket_json(SERVER))
    assert [address.source for address in addresses(tmp_path, {})] == [path]


def test_the_newer_file_first_and_xdg_before_home(tmp_path: Path, config: Path) -> None:
    json_file = write_json(tmp_path / "xdg" / "obs-studio", obs_config.websocket_json(SERVER))
    ini_file = write_ini(tmp_path / "xdg" / "obs-studio", obs_config.WebSocket(port=1, password="old"))
    home = tmp_path / ".config" / "obs-studio"
    home_file = write_ini(home, obs_config.WebSocket(port=2, password="x"))
    write_json(home, obs_config.websocket_json(SERVER))
    found = addresses(tmp_path, {"XDG_CONFIG_HOME": str(tmp_path / "xdg")})
    assert [address.source for address in found] == [json_file, ini_file, home_file], "each server once"


def test_a_server_that_is_off_says_how_to_switch_it_on(tmp_path: Path, config: Path) -> None:
    write_json(tmp_path / ".config" / "obs-studio", OFF)
    write_ini(tmp_path / ".config" / "obs-studio", None)
    with pytest.raises(AddressError, match=r"is off .*config\.json.*Tools → WebSocket Server Settings"):
        addresses(tmp_path, {})


def test_no_obs_at_all_names_where_was_looked(tmp_path: Path, config: Path) -> None:
    with pytest.raises(AddressError, match=rf"looked in {tmp_path}/\.config/obs-studio.*obs\.toml"):
        addresses(tmp_path, {})


def test_a_half_written_file_is_as_none(tmp_path: Path, config: Path) -> None:
    write_json(tmp_path / ".config" / "obs-studio", '{"server_ena')
    with pytest.raises(AddressError, match="no configuration"):
        addresses(tmp_path, {})


@pytest.mark.parametrize("port", ["null", "99999", "0", '"x"', "[4455]"])
def test_what_is_no_port_is_as_none(tmp_path: Path, config: Path, port: str) -> None:
    folder = tmp_path / ".config" / "obs-studio"
    write_json(folder, OFF.replace("false", "true").replace("4455", port))
    with pytest.raises(AddressError, match="no configuration of OBS"):
        addresses(tmp_path, {})


def test_own_settings_are_instead(tmp_path: Path, config: Path) -> None:
    write_json(tmp_path / ".config" / "obs-studio", OFF)
    path = config / "obs.toml"
    path.write_text('host = "studio.lan"\npassword = "x"\n')
    assert addresses(tmp_path, {}) == [Address(host="studio.lan", password="x", source=path)]
    path.write_text("port = 99999\n")
    with pytest.raises(AddressError, match=r"obs\.toml: port is 99999; it must be a whole number from 1"):
        addresses(tmp_path, {})
    path.write_text("prot = 4455\n")
    with pytest.raises(AddressError, match="did you mean 'port'"):
        addresses(tmp_path, {})
