"""The commands: what a reader types, and what it prints."""
