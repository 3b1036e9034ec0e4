"""The build: drivers and symbol files are made, and ELF files read."""
