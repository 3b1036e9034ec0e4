"""The target: its memory, symbols, modules, CPUs and registers, and the session on it."""
