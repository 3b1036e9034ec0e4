"""The loaded modules, each with the symbols of its NAME.dbg where its sections are.

The kernel is "nt". A driver's symbols are found beside the kernel's, or beside the dump for a driver that was judged.

On a running machine a breakpoint in a driver waits until the driver is loaded: LoadWatch stops the machine silently
between the loader's last step and the driver's first instruction, and gives GDB the symbols.
"""

import os
import re
import struct
from collections import namedtuple

import gdb

from build.callframes import CallFrames
from kd.target import linetable
from kd.target.command import KdError, as_word
from kd.target.memory import address_of, printable, read, structure, value_of, walk_list

Section = namedtuple("Section", "name start size index")
LIMIT = 256                                 # modules
NOWHERE = 1 << 62                           # where no memory can be: for what has been discarded
NAME = re.compile(r"[\w.$]+")
LOADED = "PnpCallDriverEntry"               # called when a module is whole and in the list, before any of its code runs


class Module:
    """One module of the list."""

    def __init__(self, entry, name, start, size, sections, absent=()):
        self.entry, self.name, self.start, self.size, self.sections = entry, name, start, size, sections
        self.absent = absent                # names of sections that are not in memory (any more)
        self.path = None                    # of the file with its symbols
        self.objfile = None
        self.tables = {}                    # what is made of the file when it is first asked for

    @property
    def end(self):
        return self.start + self.size

    def section_at(self, address):
        """The section that an address lies in, or None."""
        return next((s for s in self.sections if s.start <= address < s.start + s.size), None)

    def table(self, kind, make):
        """A table of the module's file, made once; None where it has no file or the file is damaged."""
        if kind not in self.tables:
            try:
                self.tables[kind] = make() if self.path else None
            except (OSError, ValueError, IndexError, KeyError, struct.error):
                self.tables[kind] = None
        return self.tables[kind]

    def frames(self):
        """The CallFrames of the module's file, or None."""
        places = {section.name: section.start for section in self.sections}
        return self.table("frames", lambda: CallFrames(self.path, places))

    def function_at(self, address):
        """The call frame information of the function at an address, or None."""
        return self.frames().function_at(address) if self.frames() else None

    def row_at(self, address):
        """The call frame Row of an address, or None."""
        return self.frames().row_at(address) if self.frames() else None

    def line_at(self, address):
        """(file, line) of an address as the kernel prints them; None where there is none, or no table."""
        table = self.table("lines", lambda: linetable.read(self.path))
        if table is None:
            return None
        if table.base:
            return table.line_at(0, address - table.base)
        section = self.section_at(address)
        return section and table.line_at(section.index, address - section.start)

    def symbol_addresses(self, name):
        """The addresses that a name has in this module."""
        for found in gdb_symbols(self.objfile, name):
            address = int(found.value().address)
            if self.start <= address < self.end:
                yield address
        try:
            address = int(gdb.parse_and_eval(f"(unsigned long)&'{name}'")) & (1 << 64) - 1
        except gdb.error:
            return
        if self.start <= address < self.end:
            yield address


def gdb_symbols(objfile, name):
    """The symbols of a name in one file, the global one first."""
    if objfile is None:
        return []
    found = [objfile.lookup_global_symbol(name), objfile.lookup_static_symbol(name)]
    return [symbol for symbol in found if symbol is not None and not symbol.is_argument and symbol.is_valid()
            and symbol.addr_class in (gdb.SYMBOL_LOC_STATIC, gdb.SYMBOL_LOC_BLOCK)]


known = {}                                  # entry -> Module with symbols loaded
folders = []                                # where to look for NAME.dbg, in this order
more_folders = []                           # and then here, the one of the same name as the module first
current = []                                # the modules as last read
changed = []                                # called when GDB has got symbols


def text_of(value):
    """The text of a CHAR array."""
    raw = read(int(value.address), value.type.sizeof)
    return printable(raw.split(b"\0")[0].decode("latin-1"))


def read_module(entry):
    """The Module of one KLDR_DATA_TABLE_ENTRY."""
    value = structure("KLDR_DATA_TABLE_ENTRY", entry)
    sections, absent = [], []
    count = min(int(value["SectionCount"]), value["Section"].type.range()[1] + 1)
    for index in range(count):
        section = value["Section"][index]
        found = Section(text_of(section["Name"]), int(section["Start"]), int(section["Bytes"]), int(section["ElfIndex"]))
        if found.start:
            sections.append(found)
        else:
            absent.append(found.name)
    return Module(entry, text_of(value["Name"]), int(value["DllBase"]), int(value["SizeOfImage"]), sections, absent)


def find_file(name):
    """The file with a module's symbols, or None."""
    if not name or "/" in name:
        return None
    own = [folder for folder in more_folders if os.path.basename(folder.rstrip("/")) == name]
    paths = (os.path.join(folder, f"{name}.dbg") for folder in folders + own + more_folders)
    return next((path for path in paths if os.path.isfile(path)), None)


def load_symbols(module):
    """Tells GDB where the sections of a module lie."""
    if module.name == "nt":
        module.objfile = gdb.objfiles()[0] if gdb.objfiles() else None
        module.path = module.objfile.filename if module.objfile else None
        return
    module.path = find_file(module.name)
    if module.path is None or not module.sections:
        return
    places = [(section.name, section.start) for section in module.sections if NAME.fullmatch(section.name)]
    places += [(name, NOWHERE + (number << 32)) for number, name in enumerate(module.absent, len(known) << 8)]
    words = " ".join(f"-s {name} {start:#x}" for name, start in places)
    try:
        gdb.execute(f"add-symbol-file {as_word(module.path)} {words}", to_string=True)
    except gdb.error as problem:
        print(f"kd: no symbols for {module.name}: {problem}")
        return
    module.objfile = next((o for o in gdb.objfiles() if o.filename == os.path.realpath(module.path)), None)
    for routine in changed:
        routine()


def drop_symbols_under(module):
    """The module's former copy, and what lay where it lies, have been unloaded; until now their symbols named the remains."""
    for entry, old in list(known.items()):
        if old.name != "nt" and (old.name == module.name or old.start < module.end and module.start < old.end):
            del known[entry]
            if old.objfile is not None and old.objfile.is_valid():
                gdb.execute(f"remove-symbol-file -a {old.sections[0].start:#x}", to_string=True)


def refresh():
    """Reads the list anew; loads symbols for what is new, in place of those of what has gone."""
    found = []
    try:
        for entry in walk_list(address_of("PsLoadedModuleList"), "KLDR_DATA_TABLE_ENTRY", "InLoadOrderLinks", LIMIT):
            module = known.get(entry)
            fresh = read_module(entry)
            if module is None or (module.name, module.start) != (fresh.name, fresh.start):
                drop_symbols_under(fresh)
                load_symbols(fresh)
                known[entry] = module = fresh
            if module.sections != fresh.sections:   # INIT is gone
                module.sections, module.tables = fresh.sections, {}
            found.append(module)
    except (KdError, gdb.error) as problem:
        print(f"kd: the list of modules ends early: {problem}")
    current[:] = found or [kernel_alone()]
    return current


def kernel_alone():
    """The kernel's module where the list is not there (yet)."""
    start, end = address_of("KernelImageStart"), address_of("KernelImageEnd")
    module = Module(0, "nt", start, end - start, [])
    load_symbols(module)
    return module


def modules():
    """Every loaded module, the kernel first, with symbols loaded."""
    return current or refresh()


def module_at(address):
    """The module that an address lies in, or None."""
    return next((module for module in modules() if module.start <= address < module.end), None)


def module_named(name):
    """The module of this name; KdError lists those that there are."""
    wanted = name.lower().removesuffix(".sys")
    wanted = "nt" if wanted in ("kernel", "kernel.elf") else wanted
    for module in modules():
        if module.name.lower() == wanted:
            return module
    raise KdError(f"no module '{name}'; the modules are: {', '.join(module.name for module in modules())}")


def unloaded_modules():
    """[Module] of those that have gone, the latest first."""
    count = value_of("UnloadedCount")
    ring = value_of("UnloadedRing")
    size = ring.type.range()[1] + 1
    entries = [int(ring[(count - back) % size]) for back in range(1, min(count, size) + 1)]
    return [read_module(entry) for entry in entries if entry]


def unloaded_at(address):
    """The name of the latest module that had an address and has gone, or None."""
    try:
        return next((m.name for m in unloaded_modules() if m.start <= address < m.end), None)
    except (KdError, gdb.error):
        return None


class LoadWatch(gdb.Breakpoint):
    """Stops without a word where a module has been loaded, gives GDB its symbols, and lets the machine go on."""
    there, is_expected = None, False
    waited = set()                          # numbers of the breakpoints that have waited for a driver

    def __init__(self):
        super().__init__(f"*{LOADED}", gdb.BP_HARDWARE_BREAKPOINT, internal=True)

    def stop(self):
        refresh()
        return False


def await_drivers(event=None):
    """Arms the watch once a breakpoint waits for a driver, and only then: a seeded run without one is not disturbed.

    It stays armed while that breakpoint exists: another driver may have a function of the same name."""
    watch = LoadWatch.there
    if watch and watch.is_valid():
        points = gdb.breakpoints() or ()
        LoadWatch.waited.update(point.number for point in points if point.pending)
        wanted = any(point.number in LoadWatch.waited for point in points)
        if watch.enabled != wanted:
            watch.enabled = wanted


def prepare_watch(event=None):
    """GDB makes a hardware breakpoint only for a machine that it is connected to: the first stop is the connection."""
    machine = gdb.selected_inferior()
    if machine.pid and machine.connection.type != "core" and not (LoadWatch.there and LoadWatch.there.is_valid()):
        LoadWatch.there = LoadWatch()
    await_drivers()


def let_breakpoints_wait():
    """From now on a breakpoint in a driver that is not loaded waits for it. May be said more than once."""
    if LoadWatch.is_expected:
        return
    LoadWatch.is_expected = True
    gdb.execute("set breakpoint pending on")
    prepare_watch()
    gdb.events.stop.connect(prepare_watch)
    gdb.events.breakpoint_created.connect(await_drivers)
