"""What is debugged: its memory, symbols, modules, CPUs and registers, and the session that looks at it."""
