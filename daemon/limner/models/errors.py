"""Faults around models that a user can cause or repair: one sentence each, which says what to do."""

from __future__ import annotations


class ModelsError(Exception):
    """Anything wrong with a model's file of settings, its download or its files on this machine."""


class CatalogueError(ModelsError):
    """A model's TOML file cannot be used; the message names the file and the key."""


class UnknownModelError(ModelsError):
    """There is no model of this name; the message suggests the nearest and lists all."""


class HubError(ModelsError):
    """Files cannot be had from where they are published."""


class StoreError(ModelsError):
    """Files on this machine cannot be read, written or trusted."""


class CancelledError(ModelsError):
    """Somebody pressed Ctrl-C; what was fetched so far is kept."""
