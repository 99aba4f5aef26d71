"""Protocols of others that the worker speaks, and the Python generated from them."""
