"""The host: where the tree is, which programs it has, and one run at a time in a folder."""
