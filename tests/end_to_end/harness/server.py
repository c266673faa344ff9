"""obs-websocket's own settings, changed between two lives of an OBS as its dialogue would change them."""

from __future__ import annotations

import json
import re
from pathlib import Path

from limner.installer.obs_config import WebSocket


def rewrite(obs_dir: Path, server: WebSocket, *, enabled: bool) -> None:
    """Write port, password and switch where OBS reads them: global.ini up to 29, its JSON from 30 on."""
    ini = obs_dir / "global.ini"
    values = {
        "ServerEnabled": "true" if enabled else "false",
        "ServerPort": str(server.port),
        "ServerPassword": server.password,
    }
    text = ini.read_text(encoding="utf-8-sig")
    for key, value in values.items():
        # Where 30 and later have taken it over, it is there no more.
        text = re.sub(rf"^{key}=.*$", f"{key}={value}", text, flags=re.MULTILINE)
    ini.write_text(text, encoding="utf-8")
    path = obs_dir / "plugin_config" / "obs-websocket" / "config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings |= {
        "server_enabled": enabled,
        "server_port": server.port,
        "server_password": server.password,
    }
    path.write_text(json.dumps(settings), encoding="utf-8")
