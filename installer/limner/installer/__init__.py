"""Set-up: checks, the plugin's installation, a ready OBS scene, and the first run."""
