"""Instructions as WinDbg shows them: address, bytes, text, and the memory they reach."""

import re

import gdb

from kd.target.command import KdError
from kd.target.memory import MASK, grave, read, try_read, unreadable
from kd.target.symbols import nearest, raw_symbol, symbol

LONGEST_INSTRUCTION = 15
SIZES = {"BYTE": 1, "WORD": 2, "DWORD": 4, "QWORD": 8}
OPERAND = re.compile(r"(?:(BYTE|WORD|DWORD|QWORD) PTR )?(?:([a-z]s):)?(?:\[([^\]]+)\]|(?<=:)(0x[0-9a-f]+))")


def instructions(start, count):
    """[(address, length, text)] of count instructions; KdError where the first cannot be read."""
    found, address = [], start
    architecture = gdb.selected_inferior().architecture()
    while len(found) < count:
        try:
            one = architecture.disassemble(address)[0]
        except gdb.error:
            if not found:
                raise unreadable(address) from None
            break
        found.append((address, one["length"], " ".join(one["asm"].split())))
        address += one["length"]
    return found


def text_of(text):
    """An instruction's text with the project's names in place of GDB's <name+n>."""
    def name(match):
        target = int(match[1], 16)
        return f"{symbol(target)} ({grave(target)})"
    text = re.sub(r"(0x[0-9a-f]+) <[^>]*>", name, text)
    text = re.sub(r"\b(BYTE|WORD|DWORD|QWORD) PTR", lambda match: match[0].lower(), text)
    head, _, rest = text.partition(" ")
    return f"{head:7} {rest}".rstrip()


def show_at(address, note=""):
    """Prints one instruction."""
    show(*instructions(address, 1)[0], note)


def show(address, length, text, note=""):
    code = read(address, length).hex()
    print(f"{grave(address)} {code:15} {text_of(text)}{f' {note}' if note else ''}")


def effective_address(text, rip, length, registers):
    """(address, bytes) of the memory operand of an instruction; None where it has none or a register is not known."""
    match = OPERAND.search(text)
    if match is None or text.startswith(("lea", "nop")) or match[2] not in (None, "ds", "ss", "es"):
        return None
    total = 0
    for sign, term in re.findall(r"([+-]?)([^+-]+)", match[3] or match[4]):
        name, _, factor = term.partition("*")
        known = dict(registers, rip=rip + length, riz=0)
        if name.startswith("0x") or name.isdigit():
            value = int(name, 0)
        elif known.get(name) is not None:
            value = known[name]
        else:
            return None
        value *= int(factor, 0) if factor else 1
        total += -value if sign == "-" else value
    return total & MASK, SIZES.get(match[1], 8)


def effective(rip, registers):
    """"ds:fffff8a0`00003090=????????": the memory that the instruction at rip reaches, and what is there."""
    try:
        _, length, text = instructions(rip, 1)[0]
    except KdError:
        return ""
    found = effective_address(text, rip, length, registers)
    if found is None:
        return ""
    address, size = found
    data = try_read(address, size)
    value = f"{int.from_bytes(data, 'little'):0{2 * size}x}" if data else "?" * (2 * size)
    return f"ds:{grave(address)}={value}"


def function_bounds(address):
    """(start, end) of the function that an address lies in."""
    try:
        block = gdb.block_for_pc(address)
    except (gdb.error, RuntimeError):
        block = None
    while block is not None and (block.function is None or block.superblock and block.superblock.function):
        block = block.superblock
    if block is not None and block.function is not None and not block.is_global:
        return block.start, block.end
    return symbol_bounds(address)


def symbol_bounds(address):
    """The same where there is no debug information but a symbol: up to the next symbol."""
    found = raw_symbol(address)
    module = nearest(address)
    if found is None or module is None:
        raise KdError(f"{grave(address)} lies in no function")
    start = address - found[1]
    end = start + 1
    while end - start < 0x4000 and raw_symbol(end) == (found[0], end - start) and try_read(end, 1):
        end += 1
    return start, end


def before(address, count):
    """[(address, length, text)] of the count instructions before an address: from its function's start, so that the
    boundaries are the real ones."""
    if address == 0:
        raise KdError("no instruction lies before 00000000`00000000")
    try:
        start, _ = function_bounds(address - 1)
    except KdError:
        start = max(address - count * LONGEST_INSTRUCTION, 0)
    found = []
    while start < address:
        one = instructions(start, 1)[0]
        found.append(one)
        start += one[1]
    return found[-count:]
