"""Loads every command: a file that cannot be loaded costs its commands, with one line."""

import importlib
import pkgutil

from kd import clashes, commands


def load():
    """Imports each module of kd.commands, and makes GDB know what they hold."""
    for found in sorted(pkgutil.iter_modules(commands.__path__), key=lambda found: found.name):
        try:
            importlib.import_module(f"kd.commands.{found.name}")
        except Exception as problem:        # one file's defect must not cost the others
            print(f"kd: tools/kd/commands/{found.name}.py cannot be loaded: {type(problem).__name__}: {problem}")
    clashes.overlay_all()
