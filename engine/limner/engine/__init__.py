"""The streaming engine. Knows nothing of OBS, sockets or shared memory; `engine.Engine` is where to start."""
