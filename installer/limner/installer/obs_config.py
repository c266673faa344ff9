"""Writes what OBS reads at its start: global settings, a profile, a scene collection (OBS 29 to 32)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# The version that wrote the settings (29.0.2): OBS migrates from there without asking the user anything.
LAST_VERSION = 29 << 24 | 2
BOUNDS_SCALE_INNER = 2


@dataclass(frozen=True, kw_only=True)
class Filter:
    """A filter on a source: `id` is the plugin's type, `name` what people see."""

    id: str
    name: str
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A source with its filters; `versioned_id` differs from `id` for a few of OBS's own types.

    `hotkeys`: OBS's name of a key by the hotkey's name, those of the filters too.
    """

    id: str
    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    filters: tuple[Filter, ...] = ()
    versioned_id: str = ""
    hotkeys: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Item:
    """A source in a scene, fitted into a rectangle of the canvas (pixels)."""

    source: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A scene: items from the back to the front."""

    name: str
    items: tuple[Item, ...]


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Canvas in pixels, frames per second (a whole number), where recordings go."""

    name: str
    width: int
    height: int
    fps: int
    recordings: Path
    encoder_preset: str = "ultrafast"


@dataclass(frozen=True, kw_only=True)
class WebSocket:
    """The server of obs-websocket."""

    port: int
    password: str


def _common(
    id_: str, versioned_id: str, name: str, settings: dict[str, Any], filters: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "id": id_,
        "versioned_id": versioned_id,
        "name": name,
        "settings": settings,
        "filters": filters,
        "enabled": True,
        "muted": False,
        "volume": 1.0,
        "balance": 0.5,
        "mixers": 255,
        "flags": 0,
        "sync": 0,
        "hotkeys": {},
        "monitoring_type": 0,
        "deinterlace_mode": 0,
        "deinterlace_field_order": 0,
        "prev_ver": LAST_VERSION,
        "private_settings": {},
    }


def _source(source: Source) -> dict[str, Any]:
    filters = [_common(f.id, f.id, f.name, f.settings, []) for f in source.filters]
    bindings = {action: [{"key": key}] for action, key in source.hotkeys.items()}
    whole = _common(source.id, source.versioned_id or source.id, source.name, source.settings, filters)
    return whole | {"hotkeys": bindings}


def _item(item: Item, item_id: int) -> dict[str, Any]:
    return {
        "name": item.source,
        "id": item_id,
        "align": 5,
        "pos": {"x": item.x, "y": item.y},
        "rot": 0.0,
        "scale": {"x": 1.0, "y": 1.0},
        "bounds": {"x": item.width, "y": item.height},
        "bounds_type": BOUNDS_SCALE_INNER,
        "bounds_align": 0,
        "crop_left": 0,
        "crop_top": 0,
        "crop_right": 0,
        "crop_bottom": 0,
        "scale_filter": "disable",
        "blend_method": "default",
        "blend_type": "normal",
        "visible": True,
        "locked": False,
        "group_item_backup": False,
        "private_settings": {},
    }


def _scene(scene: Scene) -> dict[str, Any]:
    items = [_item(item, number) for number, item in enumerate(scene.items, start=1)]
    settings = {"custom_size": False, "id_counter": len(items) + 1, "items": items}
    return _common("scene", "scene", scene.name, settings, [])


def scene_collection(
    name: str, sources: tuple[Source, ...], scenes: tuple[Scene, ...], scripts: tuple[Path, ...] = ()
) -> dict[str, Any]:
    """Return a scene collection as OBS stores it; the first scene is the one on air, scripts are loaded.

    Raises ValueError when a scene shows a source that is not given, or two things share a name.
    """
    known = [source.name for source in sources] + [scene.name for scene in scenes]
    if len(set(known)) != len(known):
        raise ValueError(f"scene collection {name!r}: two sources or scenes share a name: {sorted(known)}")
    for scene in scenes:
        for item in scene.items:
            if item.source not in known:
                raise ValueError(f"scene {scene.name!r} shows {item.source!r}, which does not exist")
    return {
        "name": name,
        "current_scene": scenes[0].name,
        "current_program_scene": scenes[0].name,
        "current_transition": "Cut",
        "transition_duration": 300,
        "transitions": [],
        "quick_transitions": [],
        "scene_order": [{"name": scene.name} for scene in scenes],
        "sources": [_source(source) for source in sources] + [_scene(scene) for scene in scenes],
        "groups": [],
        "saved_projectors": [],
        "preview_locked": False,
        "scaling_enabled": False,
        "modules": {"scripts-tool": [{"path": str(script), "settings": {}} for script in scripts]},
    }


def _ini(sections: dict[str, dict[str, object]]) -> str:
    parts = []
    for section, values in sections.items():
        lines = [f"{key}={_ini_value(value)}" for key, value in values.items()]
        parts.append("\n".join([f"[{section}]", *lines]) + "\n")
    return "\n".join(parts)


def _ini_value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).replace("\\", "\\\\").replace("\n", "\\n")


def profile_ini(profile: Profile) -> str:
    """Return the profile's basic.ini: simple output, x264, recordings that survive a crash (mkv)."""
    return _ini(
        {
            "General": {"Name": profile.name},
            "Video": {
                "BaseCX": profile.width,
                "BaseCY": profile.height,
                "OutputCX": profile.width,
                "OutputCY": profile.height,
                "FPSType": 1,
                "FPSInt": profile.fps,
                "FPSCommon": profile.fps,
                "ScaleType": "bilinear",
                "ColorFormat": "NV12",
            },
            "Output": {"Mode": "Simple"},
            "SimpleOutput": {
                "FilePath": profile.recordings,
                "RecFormat": "mkv",
                "RecFormat2": "mkv",
                "RecQuality": "Stream",
                "VBitrate": 3000,
                "StreamEncoder": "x264",
                "RecEncoder": "x264",
                "Preset": profile.encoder_preset,
            },
            "Audio": {"SampleRate": 48000, "ChannelSetup": "Stereo"},
        }
    )


def global_ini(profile: str, collection: str, *, websocket: WebSocket | None, preview: bool) -> str:
    """Return a global.ini for a first start without wizard, updates or questions."""
    sections: dict[str, dict[str, object]] = {
        "General": {
            "FirstRun": True,
            "LastVersion": LAST_VERSION,
            "Pre19Defaults": False,
            "Pre21Defaults": False,
            "Pre23Defaults": False,
            "Pre24.1Defaults": False,
            "InfoIncrement": 1,
            "EnableAutoUpdates": False,
            "ConfirmOnExit": False,
            "HotkeyFocusType": "NeverDisableHotkeys",
            "Language": "en-US",
        },
        "Basic": {
            "Profile": profile,
            "ProfileDir": profile,
            "SceneCollection": collection,
            "SceneCollectionFile": collection,
            "ConfigOnNewProfile": False,
        },
        "BasicWindow": {
            "PreviewEnabled": preview,
            "PreviewProgramMode": False,
            "WarnBeforeStoppingRecord": False,
            "SysTrayEnabled": False,
        },
        "Video": {"Renderer": "OpenGL"},
        "OBSWebSocket": {"FirstLoad": False, "ServerEnabled": websocket is not None, "AlertsEnabled": False},
    }
    if websocket is not None:
        sections["OBSWebSocket"] |= {
            "ServerPort": websocket.port,
            "AuthRequired": True,
            "ServerPassword": websocket.password,
        }
    return _ini(sections)


def websocket_json(websocket: WebSocket) -> str:
    """Return obs-websocket's own config.json, which OBS 30 and later read."""
    return json.dumps(
        {
            "alerts_enabled": False,
            "auth_required": True,
            "first_load": False,
            "server_enabled": True,
            "server_password": websocket.password,
            "server_port": websocket.port,
        }
    )


def write_profile(obs_dir: Path, profile: Profile) -> Path:
    """Write the profile below `obs_dir` (…/obs-studio) and return its file."""
    path = obs_dir / "basic" / "profiles" / profile.name / "basic.ini"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(profile_ini(profile), encoding="utf-8")
    return path


def write_collection(obs_dir: Path, collection: dict[str, Any]) -> Path:
    """Write the scene collection below `obs_dir` and return its file."""
    path = obs_dir / "basic" / "scenes" / f"{collection['name']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(collection, indent=1), encoding="utf-8")
    return path


def write_private_config(
    obs_dir: Path,
    profile: Profile,
    collection: dict[str, Any],
    *,
    websocket: WebSocket | None = None,
    preview: bool = False,
) -> None:
    """Write a whole private configuration (nobody else's OBS uses `obs_dir`)."""
    write_profile(obs_dir, profile)
    write_collection(obs_dir, collection)
    profile.recordings.mkdir(parents=True, exist_ok=True)
    text = global_ini(profile.name, collection["name"], websocket=websocket, preview=preview)
    (obs_dir / "global.ini").write_text(text, encoding="utf-8")
    if websocket is not None:
        path = obs_dir / "plugin_config" / "obs-websocket" / "config.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(websocket_json(websocket), encoding="utf-8")
