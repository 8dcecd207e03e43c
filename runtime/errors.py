"""Errors a user can act on: what was expected, what came, what to do."""


class Media2FaceError(Exception):
    """Base of every error this project raises on purpose."""


class AudioError(Media2FaceError):
    """The audio is missing, empty, not audio, or cannot be used."""


class ModelError(Media2FaceError):
    """A weight file is missing, of another model or version, or does not fit its companions."""


class StyleError(Media2FaceError):
    """A style prompt (text or image) cannot be used."""


class ConfigError(Media2FaceError):
    """A setting is out of range or contradicts another."""


class InputError(Media2FaceError):
    """A message or array has the wrong shape, unit or order."""
