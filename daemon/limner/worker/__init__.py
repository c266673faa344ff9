"""The worker process: runs the engine for the daemon. The only side that imports torch."""
