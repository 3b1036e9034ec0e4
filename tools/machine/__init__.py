"""The machine: its command line, its run from start to end, its disk, its dump."""
