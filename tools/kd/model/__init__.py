"""The kernel's parts as the commands see them: threads, stacks, pool, pages, objects."""
