# The drivers of the boot archive: DRIVERS names them, SOURCES_<name> lists their files, one line each.
DRIVERS :=
