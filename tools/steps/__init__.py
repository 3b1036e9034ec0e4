"""What `tools/bugcheck step` runs inside GDB: guided walks, instruction by instruction, through five places."""
