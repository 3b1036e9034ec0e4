"""!object and !handle: the name space, the handle table, and who holds an object."""

import gdb

from kd.commands.iocommands import file_name
from kd.model.objects import (directory_of, entries, find_handle, find_object, handles, link_target, look_up, object_at,
                        own_name, path_of, shown_handle)
from kd.model.waits import complaint
from kd.target.command import KdError, command
from kd.target.expression import evaluate
from kd.target.memory import grave, value_of

INHERIT, PROTECTED = 0x2, 0x1
BASIC, OBJECTS = 1, 2                           # the flags of !handle


def details_of(found):
    """The lines that only an object of this type has."""
    if found.type == "SymbolicLink":
        return [f"    Target String is '{link_target(found.address)}'"]
    if found.type == "File":
        return [f"    {file_name(found.address)}"]
    return []


def print_object(found, indent=""):
    """An object's header and name."""
    print(f"{indent}Object: {found.address:016x}  Type: ({found.type_address:016x}) {found.type}")
    print(f"{indent}    ObjectHeader: {found.header:016x}")
    print(f"{indent}    HandleCount: {found.handles}  PointerCount: {found.pointers}")
    if not 0 <= found.handles <= found.pointers:
        print(f"{indent}    (a handle is a reference too: these counts cannot be; the header was written over, or the object "
              "let go once too often)")
    if found.name:
        print(f"{indent}    Directory Object: {directory_of(found):016x}  Name: {own_name(found)}")
    for line in details_of(found):
        print(f"{indent}{line}")


def print_directory(address):
    """The names in a directory."""
    print("\n       Address           Type                 Name")
    print("       -------           ----                 ----")
    count = 0
    for name, inside in entries(address):
        found = find_object(inside)
        target = f" -> '{link_target(inside)}'" if found and found.type == "SymbolicLink" else ""
        print(f"       {inside:016x}  {found.type if found else '?':20} {name}{target}")
        count += 1
    print(f"\n    Names: {count}")


def find(text):
    """(address, what of a path is left) of an argument of !object: an address, or a path."""
    if text.startswith("\\"):
        return look_up(text)
    return evaluate(text), ""


@command("!object", "ADDRESS | PATH", "an object: its type, counts and name; a directory's contents")
def object_command(arguments):
    """!object ADDRESS: the object at an address: header, type, how many handles and references there are, its name.
    !object PATH: the object of that name; symbolic links on the way are followed, the last one is shown itself
    unless a \\ ends the path. `!object \\` lists the root directory, `!object \\Device` the devices.

    PointerCount counts the handles too, and the name holds a reference of its own."""
    if len(arguments) != 1:
        raise KdError("usage: !object ADDRESS | PATH; `!object \\` lists the root")
    address, rest = find(arguments[0])
    found = object_at(address)
    if rest:
        print(f"{path_of(address)} is no directory: '{rest}' is for its driver to find")
    print_object(found)
    if found.type == "Directory":
        if address == value_of("ObpRoot"):
            print("    Directory Object: 0000000000000000  Name: \\")
        print_directory(address)


# ---- !handle ----

def marks(handle):
    words = (["Inherit"] if handle.attributes & INHERIT else []) + (["Protected"] if handle.attributes & PROTECTED
                                                                    else [])
    return f" ({', '.join(words)})" if words else ""


def print_handle(handle, flags):
    """One handle, and with flag 2 its object."""
    print(f"{shown_handle(handle):04x}: Object: {handle.object:016x}  GrantedAccess: {handle.access:08x}{marks(handle)} "
          f"Entry: {handle.entry:016x}")
    if not flags & OBJECTS:
        return
    found = find_object(handle.object)
    if found is None:
        print(f"kd: {grave(handle.object)} is no object: the entry or the object's header was written over")
        return
    print_object(found)
    print()


def wanted(kind, handle):
    """Whether a handle is of a type that is asked for."""
    found = find_object(handle.object)
    return kind is None or found is not None and found.type.lower() == kind.lower()


@command("!handle", "[HANDLE [FLAGS [TYPE]]]", "the handles that are open, or one of them")
def handle_command(arguments):
    """!handle: every open handle with its object. !handle HANDLE: that one, in either form (a kernel handle has the
    upper half of the number line as well). There is one table, since there is one process that opens anything.

    FLAGS: 1 the entry; 2 the object too (3 unless told). TYPE: only handles of that type: `!handle 0 3 File`.
    In plain GDB it is khandle, since handle is a command of GDB's own."""
    value = evaluate(arguments[0]) if arguments else 0
    flags = evaluate(arguments[1]) if len(arguments) > 1 else BASIC | OBJECTS
    kind = arguments[2] if len(arguments) > 2 else None
    if value:
        print_handle(find_handle(value), flags)
        return
    print("PROCESS System\n")
    total = shown = 0
    for handle in handles():
        total += 1
        if wanted(kind, handle):
            shown += 1
            try:
                print_handle(handle, flags)
            except (KdError, gdb.error) as problem:
                print(f"kd: handle {handle.number:x}: {complaint(problem)}")
    print(f"Open handles: {total}" + (f", of type {kind}: {shown}" if kind else ""))
