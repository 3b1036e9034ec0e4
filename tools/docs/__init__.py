"""The documents: what docs/ and README.md take from the tree, counted, quoted and compared."""
