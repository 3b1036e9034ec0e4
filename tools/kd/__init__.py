"""The debugger inside GDB's Python: how each session starts, and what GDB itself gets."""
