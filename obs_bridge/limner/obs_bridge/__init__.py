"""OBS in control: what happens in OBS, by obs-websocket, changes the look by the user's rules."""
