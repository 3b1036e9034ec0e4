"""The tree's own paths, and the one error that a tool ends with."""

import os
from pathlib import Path

TOP = Path(os.path.abspath(__file__)).parent.parent.parent
OUT = Path(os.environ.get("OUT") or TOP / "build")


class CannotRun(Exception):
    """The request cannot be carried out; the text is one line for the user."""


def shown(path):
    """A path as the user would type it."""
    return os.path.relpath(path) if Path(path).is_relative_to(Path.cwd()) else path
