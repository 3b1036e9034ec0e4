"""Guided walks, instruction by instruction, inside GDB: `tools/bugcheck step`."""
