"""GDB's symbols under WinDbg's names: an address to "nt!KeAcquireSpinLock+0x12", and back.

Local labels of the assembler (KiFoo.loop) count as their function, and so does what the compiler split off (Foo.cold),
as in the kernel's own reports.
"""

import re
from functools import lru_cache

import gdb

from kd.target.command import KdError
from kd.target.memory import MASK, grave
from kd.target.modules import changed, module_at, module_named, unloaded_at

KERNEL_SPACE = 0xFFFF800000000000
STACK_SWITCH = "__morestack"                # what GDB wants a call onto another stack to be called: a label in KiCallOnStack
gdb.execute("set print asm-demangle on")    # variables of C++ too by the names that their author gave them

ADDRESS_TEXT = re.compile(r"0x[0-9a-f]+ <(.+?)(?:\+(\d+))?>")


def is_kernel_address(address):
    """Whether an address lies in the kernel's half."""
    return KERNEL_SPACE <= address <= MASK


@lru_cache(maxsize=65536)
def raw_symbol(address):
    """(name, offset) as GDB finds it, or None. Asks no frame, so that the unwinder may ask too."""
    inferior = gdb.selected_inferior()
    match = ADDRESS_TEXT.fullmatch(gdb.format_address(address, inferior.progspace, inferior.architecture()))
    if match is None:
        return None
    name, offset = match[1], int(match[2] or 0)
    base = name.split(".")[0] if name != STACK_SWITCH else ""
    if base == name:
        return name, offset
    before = raw_symbol(address - offset - 1)
    if before and base in ("", before[0]):  # a label of the assembler: the symbol before it counts
        return before[0], before[1] + offset + 1
    return (base, offset) if base else None


def forget():
    """Symbols have come or gone."""
    raw_symbol.cache_clear()


changed.append(forget)


def line_of(address):
    """(file's base name, line) of an address, or (None, None): the kernel's own, else GDB's."""
    module = module_at(address & MASK)
    found = module.line_at(address & MASK) if module else None
    if found:
        return found
    place = gdb.find_pc_line(address & MASK)
    if place.symtab is None or not place.line:
        return None, None
    return place.symtab.filename.rpartition("/")[2], place.line


def nearest(address):
    """(module, function, offset, file, line) of an address; None outside all modules."""
    module = module_at(address)
    if module is None:
        return None
    found = raw_symbol(address)
    name, offset = found if found else (None, address - module.start)
    return (module.name, name, offset) + line_of(address)


def symbol(address):
    """"nt!KeAcquireSpinLock+0x12"; "nt+0x1234" where the module has no symbols; "0x..." outside all modules."""
    found = nearest(address)
    if found is None:
        return unloaded(address) or f"{address:#x}"
    module, function, offset, _, _ = found
    name = f"{module}!{function}" if function else module
    return f"{name}+{offset:#x}" if offset else name


def unloaded(address):
    """The text for an address in a module that has gone, or None."""
    name = unloaded_at(address)
    return f"<unloaded_{name}.sys>+{address:#x}" if name else None


def symbol_address(text):
    """The address of "nt!KiThreadList", "secret!SecretLock" or a bare name; KdError when there is none."""
    module_name, mark, name = text.rpartition("!")
    if mark and not name:
        raise KdError(f"'{text}' names no symbol")
    if mark and module_name.lower() not in ("nt", "kernel"):
        return module_symbol(module_name, name)
    try:
        return int(gdb.parse_and_eval(f"(unsigned long)&'{name}'")) & MASK
    except gdb.error:
        raise KdError(f"no symbol '{text}'; x nt!*{name}* lists what there is") from None


def module_symbol(module_name, name):
    """The address of a symbol of one module, also where another module has the same name."""
    module = module_named(module_name)
    if name == "":
        return module.start
    for candidate in module.symbol_addresses(name):
        return candidate
    raise KdError(f"no symbol '{module_name}!{name}'; x {module_name}!* lists what there is")


def place(address):
    """An address as the field prints it, with its symbol where it has one."""
    found = nearest(address)
    return f"{grave(address)} {symbol(address)}" if found else grave(address)
