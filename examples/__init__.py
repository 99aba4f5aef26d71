"""Example input, shipped with the package."""
