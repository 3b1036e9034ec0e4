"""Code, symbols and modules: u ub uf, ln, x, lm, lmvm."""

import fnmatch
import os
import re
import subprocess
import time

import gdb

from host.toolchain import tool
from kd.model.threads import stack_in_scope
from kd.target import scope
from kd.target.command import KdError, command
from kd.target.disassembly import before, function_bounds, instructions, show
from kd.target.expression import evaluate
from kd.target.memory import grave, structure, unicode_text
from kd.target.modules import module_at, module_named, modules, refresh, text_of, unloaded_modules
from kd.target.symbols import line_of, nearest, raw_symbol, symbol

COUNT = 8                                   # instructions of u and ub
MOST = 4096                                 # instructions of one command
position = {"u": None}                      # where u goes on


def start_and_count(arguments):
    """(address, count) of "[ADDRESS] [LCOUNT]"; without an address: where the context is."""
    words, count = list(arguments), COUNT
    if words and re.fullmatch(r"[lL][0-9a-fA-F]+", words[-1]):
        count = min(evaluate(words.pop()[1:]), MOST)
    if count == 0:
        raise KdError("L0 asks for nothing; L1 is the least")
    if words:
        return evaluate(" ".join(words)), count
    frames = stack_in_scope()
    return frames[min(scope.frame_number, len(frames) - 1)].rip, count


def show_all(found):
    """Instructions, with the name of the place where it changes."""
    named = None
    for address, length, text in found:
        here = raw_symbol(address)
        name = here[0] if here else None
        if name != named:
            file, line = line_of(address)
            print(f"{symbol(address)}{f' [{file} @ {line}]' if file else ''}:")
            named = name
        show(address, length, text)


@command("u", "[ADDRESS] [LCOUNT]", "instructions from an address on")
def unassemble(arguments):
    """Without an address: where the last u ended, or at the context's instruction. L10: 16 instructions."""
    if not arguments and position["u"] is not None:
        address, count = position["u"], COUNT
    else:
        address, count = start_and_count(arguments)
    found = instructions(address, count)
    show_all(found)
    position["u"] = found[-1][0] + found[-1][1]


@command("ub", "[ADDRESS] [LCOUNT]", "the instructions before an address")
def unassemble_before(arguments):
    """From the start of its function, so that no instruction is cut."""
    address, count = start_and_count(arguments)
    show_all(before(address, count))


@command("uf", "[ADDRESS]", "a whole function")
def unassemble_function(arguments):
    """All instructions of the function that the address lies in, with source lines."""
    address, _ = start_and_count(arguments)
    start, end = function_bounds(address)
    named = None
    print(f"{symbol(start)}:")
    while start < end:
        file, line = line_of(start)
        if (file, line) != named and file:
            print(f"  {file} {line}")
            named = file, line
        one = instructions(start, 1)[0]
        show(*one)
        start += one[1]


@command("ln", "ADDRESS", "the symbols nearest to an address, and its source line")
def list_nearest(arguments):
    """The symbol that the address lies in, and the next one behind it."""
    address = evaluate(" ".join(arguments))
    found = nearest(address)
    if found is None:
        raise KdError(f"{grave(address)} lies in no module; lm lists them")
    module, name, offset, file, line = found
    if file:
        print(f"{file}({line})")
    if name is None:
        print(f"({grave(address)})   {module}+{offset:#x}")
        return
    following = next_symbol(address)
    text = f"({grave(address - offset)})   {module}!{name}" + (f"+{offset:#x}" if offset else "")
    print(text + (f"   |  ({grave(following[0])})   {module}!{following[1]}" if following else ""))
    if not offset:
        print("Exact matches:")
        print(f"    {module}!{name}")


def next_symbol(address):
    """(address, name) of the symbol behind an address, in the same module; None."""
    module = module_at(address)
    return min((one for one in symbols_of(module, "*") if one[0] > address), default=None)


def symbols_of(module, pattern):
    """[(address, name)] of a module's symbols that fit a pattern, as nm lists them in its file."""
    if module.path is None:
        raise KdError(f"there are no symbols of {module.name}")
    done = subprocess.run([tool("nm"), "-C", "-f", "sysv", "--defined-only", module.path], capture_output=True, text=True, check=False)
    found = set()
    for line in done.stdout.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) != 7 or not cells[0] or "." in cells[0].split("@")[0].replace("...", ""):
            continue
        if fnmatch.fnmatchcase(cells[0].lower(), pattern.lower()):
            address = placed(module, int(cells[1] or "0", 16), cells[6])
            if address is not None:
                found.add((address, cells[0]))
    return sorted(found)


def placed(module, value, section_name):
    """Where a symbol of a file lies in memory; None: not in this module."""
    if module.name == "nt":
        return value if module.start <= value < module.end else None
    section = next((one for one in module.sections if one.name == section_name), None)
    return section.start + value if section else None


@command("x", "MODULE!PATTERN", "the symbols that fit a pattern: x nt!Ki*")
def examine_symbols(arguments):
    """* and ? stand for any letters; upper and lower case are the same. Variables of a few bytes show their value."""
    if len(arguments) != 1 or "!" not in arguments[0]:
        raise KdError("x takes MODULE!PATTERN, for example x nt!Ki*")
    module_pattern, _, pattern = arguments[0].partition("!")
    chosen = [module for module in modules() if fnmatch.fnmatchcase(module.name.lower(), module_pattern.lower())]
    chosen = chosen or [module_named(module_pattern)]
    count = 0
    for module in chosen:
        for address, name in symbols_of(module, pattern) if module.path else []:
            print(f"{grave(address)} {module.name}!{name}{value_text(name, address)}")
            count += 1
    if not count:
        raise KdError(f"no symbol fits '{arguments[0]}'")


def value_text(name, address):
    """" = 0x..." of a variable of at most eight bytes; else nothing."""
    try:
        found = gdb.lookup_global_symbol(name) or gdb.lookup_static_symbol(name)
        if found is None or not found.is_variable or int(found.value().address) & (1 << 64) - 1 != address:
            return ""
        value = found.value()
        kind = value.type.strip_typedefs()
        if kind.code in (gdb.TYPE_CODE_INT, gdb.TYPE_CODE_PTR, gdb.TYPE_CODE_BOOL, gdb.TYPE_CODE_ENUM):
            return f" = {int(value) & (1 << 8 * kind.sizeof) - 1:#x}"
    except (gdb.error, RuntimeError):
        pass
    return ""


def module_row(module):
    symbols = f"(private symbols)   {module.path}" if module.path else "(no symbols)"
    return f"{grave(module.start)} {grave(module.end)}   {module.name:<16} {symbols}"


@command("lm", "", "the loaded modules, and those that were")
def list_modules(arguments):
    """Start, end, name and the file with its symbols; unloaded modules as far as the kernel remembers them."""
    refresh()
    print(f"{'start':17} {'end':17}   module name")
    for module in sorted(modules(), key=lambda one: one.start):
        print(module_row(module))
    gone = unloaded_modules()
    if gone:
        print("\nUnloaded modules:")
    for module in gone:
        print(f"{grave(module.start)} {grave(module.end)}   {module.name}.sys")


@command("lmvm", "MODULE", "one module in detail: its sections and its file")
def list_module(arguments):
    """Its place, its sections with what may be done there, its symbols' file with date and size."""
    if len(arguments) != 1:
        raise KdError("lmvm takes the name of one module; lm lists them")
    module = module_named(arguments[0])
    print(f"{'start':17} {'end':17}   module name")
    print(module_row(module))
    if module.entry:
        entry = structure("KLDR_DATA_TABLE_ENTRY", module.entry)
        print(f"    Image path: {unicode_text(entry['FullDllName'])}")
        print(f"    Image name: {unicode_text(entry['BaseDllName'])}")
        print(f"    ImageSize:  {module.size:08X}")
        show_sections(entry)
    if module.path and os.path.exists(module.path):
        about = os.stat(module.path)
        print(f"    Symbol file: {module.path}")
        print(f"    Timestamp:  {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(about.st_mtime))} UTC   Size: {about.st_size}")


def show_sections(entry):
    """The sections with their protections, and whether they can be paged out."""
    for index in range(min(int(entry["SectionCount"]), 24)):
        section = entry["Section"][index]
        start, size = int(section["Start"]), int(section["Bytes"])
        rights = "".join(letter for field, letter in (("IsWritable", "W"), ("IsExecutable", "E")) if int(section[field]))
        where = f"{grave(start)} {grave(start + size)}" if start else f"{'discarded':>35}"
        print(f"      {text_of(section['Name']):16} {where} R{rights:2} {'pageable' if int(section['IsPageable']) else 'resident'}"
              f"{', locked' if int(section['LockCount']) else ''}")
