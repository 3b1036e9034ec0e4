"""Objects as the object manager keeps them: header, type, name, directories, handles.

    OBJECT_HEADER   PointerCount, HandleCount, Type, Name
    the object      <-- the address that everyone has

Nothing here trusts a pointer: an object is one whose header names a type in a module's memory.
"""

from collections import namedtuple

from kd.model.records import records, static
from kd.target.command import KdError
from kd.target.memory import (grave, is_readable, offset_of, size_of, structure, text_at, u64, unicode_text, unreadable,
                       value_of,
                       walk_list)
from kd.target.symbols import nearest

Object = namedtuple("Object", "address header type_address type handles pointers name")
Handle = namedtuple("Handle", "number object access attributes entry")
DEEPEST = 32                                # directories inside each other
MOST_CHUNKS = 256
MOST_NAMES = 4096                           # in one directory
PAGE = 4096
KERNEL_HANDLE = 0xFFFFFFFF80000000
OBJ_KERNEL_HANDLE = 0x200


def header_of(address):
    return address - size_of("OBJECT_HEADER")


def type_name(address):
    """The name of an OBJECT_TYPE, or None where none lies there: a type is a variable of a module."""
    if nearest(address) is None or not is_readable(address, size_of("OBJECT_TYPE")):
        return None
    name = int(structure("OBJECT_TYPE", address)["Name"])
    return text_at(name, 40) if nearest(name) is not None and is_readable(name) else None


def find_object(address):
    """The Object at an address, or None."""
    if address % 16 or not is_readable(header_of(address), size_of("OBJECT_HEADER")):
        return None
    header = structure("OBJECT_HEADER", header_of(address))
    type_address = int(header["Type"])
    name = type_name(type_address)
    if not name:
        return None
    return Object(address, header_of(address), type_address, name, int(header["HandleCount"]),
                  int(header["PointerCount"]),
                  int(header["Name"]))


def object_at(address):
    """The Object at an address; KdError says why there is none."""
    found = find_object(address)
    if found is not None:
        return found
    if address % 16 == 0 and not is_readable(header_of(address), size_of("OBJECT_HEADER")):
        raise unreadable(header_of(address))
    raise KdError(f"{grave(address)} is no object: no header with a type is before it; "
                  "`!object \\` lists the names")


def type_of(address):
    """"Device" of an object; "?" where it is none."""
    found = find_object(address)
    return found.type if found else "?"


# ---- Names ----

def own_name(found):
    """The one component that an object is called by in its directory; empty: it has no name."""
    return unicode_text(structure("OBP_NAME", found.name)["Name"]) if found.name else ""


def directory_of(found):
    """The directory that an object's name is in, or 0."""
    return int(structure("OBP_NAME", found.name)["Directory"]) if found.name else 0


def path_of(address):
    """"\\Device\\Secret"; empty for an object without a name."""
    root, parts = value_of("ObpRoot"), []
    while len(parts) < DEEPEST:
        if address == root:
            return "\\" + "\\".join(reversed(parts))
        found = find_object(address)
        if found is None or not found.name:
            return "\\".join(reversed(parts))
        parts.append(own_name(found))
        address = directory_of(found)
    return "...\\" + "\\".join(reversed(parts))


def entries(directory):
    """(name, object's address) of each name in a directory, in the order in which they came."""
    head = directory + offset_of("OBP_DIRECTORY", "Names")
    for entry in walk_list(head, "OBP_NAME", "ListEntry", MOST_NAMES):
        value = structure("OBP_NAME", entry)
        try:
            yield unicode_text(value["Name"]), int(value["Object"])
        except KdError as problem:
            print(f"kd: the name at {grave(entry)} is left out: {problem}")


def link_target(address):
    """The target of a symbolic link."""
    return unicode_text(structure("OBP_SYMBOLIC_LINK", address)["Target"])


def look_up(path):
    """(object's address, what of the path is left) of "\\Device\\Secret": through directories and links, as the kernel
    does."""
    if not path.startswith("\\"):
        raise KdError(f"'{path}' is no path: it begins with '\\', as \\Device does")
    here, rest, jumps = value_of("ObpRoot"), [part for part in path.split("\\") if part], 0
    while rest or path.endswith("\\"):
        kind = type_of(here)
        if kind == "SymbolicLink":
            jumps += 1
            if jumps > DEEPEST:
                raise KdError(f"'{path}': its symbolic links go round in a circle")
            here, rest = value_of("ObpRoot"), [part for part in link_target(here).split("\\") if part] + rest
            continue
        if kind != "Directory" or not rest:
            break
        following = named_in(here, rest[0])
        if following is None:
            raise KdError(f"there is no '{rest[0]}' in {path_of(here)}; `!object {path_of(here)}` lists what is there")
        here, rest = following, rest[1:]
    return here, "\\" + "\\".join(rest) if rest else ""


def named_in(directory, name):
    """The object of that name in a directory, in either case, or None."""
    return next((address for found, address in entries(directory) if found.lower() == name.lower()), None)


# ---- Handles ----

def handle_chunks():
    """The pages of the handle table, in order."""
    count, table = int(static("handle.c", "ChunkCount")), static("handle.c", "Chunks")
    if count > MOST_CHUNKS:
        raise KdError(f"the handle table is corrupt: it says that it has {count} pages")
    return [int(table[index]) for index in range(count)]


def handles():
    """Every handle that is open, by number; a page that cannot be read costs one line."""
    size = size_of("HANDLE_ENTRY")
    per_chunk = PAGE // size
    for chunk, start in enumerate(handle_chunks()):
        try:
            rows = list(records("HANDLE_ENTRY", start, per_chunk, "Object", "Granted", "Attributes"))
        except KdError as problem:
            print(f"kd: handles {4 * (chunk * per_chunk + 1):#x} and following are left out: {problem}")
            continue
        for index, (address, access, attributes) in enumerate(rows):
            if not address & 1:
                yield Handle(4 * (chunk * per_chunk + index + 1), address, access, attributes, start + index * size)


def shown_handle(handle):
    """A handle as its owner has it: a kernel handle with the upper half of the number line."""
    return handle.number | (KERNEL_HANDLE if handle.attributes & OBJ_KERNEL_HANDLE else 0)


def handle_number(value):
    """The number in the table of a handle in either form."""
    return (value & ~KERNEL_HANDLE if value & KERNEL_HANDLE == KERNEL_HANDLE else value) & ~3


def find_handle(value):
    """The open Handle of this value, or KdError."""
    number = handle_number(value)
    index, size = number // 4 - 1, size_of("HANDLE_ENTRY")
    chunks = handle_chunks()
    if number == 0 or index >= len(chunks) * (PAGE // size):
        raise KdError(f"{value:x} is no handle: the table ends at {4 * len(chunks) * (PAGE // size):x}")
    entry = chunks[index // (PAGE // size)] + index % (PAGE // size) * size
    address = u64(entry)
    if address & 1:
        raise KdError(f"handle {value:x} is closed: its entry at {grave(entry)} is free")
    found = structure("HANDLE_ENTRY", entry)
    return Handle(number, address, int(found["Granted"]), int(found["Attributes"]), entry)
