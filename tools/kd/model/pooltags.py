"""Pool tags: how much each holds, and which module's code contains it."""

from collections import namedtuple

import gdb

from kd.model.pagefile import unannounced
from kd.model.poolblocks import PROTECTED, tag_names, tag_text
from kd.model.records import records
from kd.model.regions import PAGE
from kd.target.command import KdError
from kd.target.memory import MASK, address_of, size_of, structure, try_read, walk_list

MOST_CODE = 64 << 20                            # bytes of one section that are believed

OTHERS = "(..)"                                 # the row for all tags that found no room

Use = namedtuple("Use", "allocs frees bytes")
TagUse = namedtuple("TagUse", "tag name nonpaged paged")


def tag_uses():
    """The rows of the kernel's table that were ever used."""
    names = tag_names()
    rows = [[Use(*row) for row in records("POOL_USE", address_of("MiPoolUse") + part * len(names) * size_of("POOL_USE"),
                                          len(names), "Allocs", "Frees", "Bytes")] for part in (0, 1)]
    for index, tag in enumerate(names):
        if tag and (rows[0][index].allocs or rows[1][index].allocs):
            yield TagUse(tag, tag_text(tag) if index else OTHERS, rows[0][index], rows[1][index])


def code_of(section):
    """The bytes of a section, those pages that are there."""
    start, size = int(section["Start"]), min(int(section["Bytes"]), MOST_CODE)
    whole = try_read(start, size)
    if whole is not None:
        return [whole]
    parts, at = [], start
    while at < start + size:
        step = min(PAGE - at % PAGE, start + size - at)
        parts.append(try_read(at, step) or b"")
        at += step
    return parts


class TagOwners:
    """Finds the module that a tag is a constant of: drivers first, the kernel last, each module's code read once."""

    def __init__(self):
        self.code = None                        # [(module's file name, [bytes])]

    def load(self):
        self.code = []
        for entry in walk_list(address_of("PsLoadedModuleList"), "KLDR_DATA_TABLE_ENTRY", "InLoadOrderLinks", 256):
            try:
                module = structure("KLDR_DATA_TABLE_ENTRY", entry)
                name, count = module["Name"].string(), int(module["SectionCount"])
                parts = [part for index in range(min(count, 24)) if int(module["Section"][index]["IsExecutable"])
                         for part in code_of(module["Section"][index])]
                self.code.append((name, parts))
            except (gdb.error, KdError, UnicodeDecodeError):
                continue
        self.code.sort(key=lambda row: row[0] == "nt")

    def find(self, tag):
        """"secret.sys", "nt", or None."""
        if self.code is None:
            with unannounced():
                self.load()
        wanted = (tag & MASK).to_bytes(4, "little"), (tag & ~PROTECTED).to_bytes(4, "little")
        for name, parts in self.code:
            if any(text in part for part in parts for text in wanted):
                return name if name == "nt" else f"{name}.sys"
        return None
