"""kd: the debugger's commands, which run inside GDB's Python."""
