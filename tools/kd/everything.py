"""Loads every command; a file of commands that cannot be loaded costs its commands, with one line, and no others."""

import importlib
import pkgutil

import kd


def load():
    """Imports each module of the package that holds commands."""
    for found in sorted(pkgutil.iter_modules(kd.__path__), key=lambda found: found.name):
        if found.name.endswith("commands") or found.name in ("analyze",):
            try:
                importlib.import_module(f"kd.{found.name}")
            except Exception as problem:    # one file's defect must not cost the others
                print(f"kd: tools/kd/{found.name}.py cannot be loaded: {type(problem).__name__}: {problem}")
