"""The embedded starter model: a delta to the packaged all-MiniLM-L6-v2 encoder."""

from pathlib import Path

NAME = "starter"


def checkpoint_folder(model: str) -> Path:
    """The folder of a model as a user names it: a path, or `starter` for the embedded model."""
    return Path(__file__).parent if model == NAME else Path(model)
