"""`limner bench`: measure the bridge and the engine."""
