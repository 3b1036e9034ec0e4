"""The commands of tools/bugcheck and of make: one file for each, and what they share."""
