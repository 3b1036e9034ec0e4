# The drivers of the boot archive: DRIVERS names them, SOURCES_<name> lists their files, one line each.
DRIVERS :=

# Test modules that reach into the kernel itself; the same SOURCES_<name>, built with the kernel's headers.
INTERNAL_DRIVERS :=
