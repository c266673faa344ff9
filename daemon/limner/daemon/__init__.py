"""The daemon: sessions, settings, supervision. Never imports torch."""
