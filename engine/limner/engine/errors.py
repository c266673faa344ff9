"""What the engine raises. Each message names the thing at fault and what to do."""

from __future__ import annotations


class EngineError(Exception):
    """Anything that the engine refuses or cannot do."""


class ConfigError(EngineError, ValueError):
    """A model's config is wrong: an unknown or missing key, or a value out of its range."""


class SettingsError(EngineError, ValueError):
    """A stream's settings are out of their range. The stream goes on with those that it had."""


class FrameError(EngineError, ValueError):
    """Frames of a wrong shape, type or size."""


class WeightsError(EngineError):
    """A weights file is missing, damaged, or not this model's. Names the file and the key."""


class StateError(EngineError, ValueError):
    """A stream's state is damaged or of another model, size or type. The stream stays as it was."""


class TextError(EngineError):
    """A prompt cannot be encoded. The stream goes on with the text that it has."""


class GroupBrokenError(EngineError, RuntimeError):
    """A transfer between ranks that will never end: a peer is gone, or the group was aborted. Not the own
    rank's fault."""


class ChunkLostError(EngineError):
    """A chunk will not be painted; the stream goes on with the next."""
