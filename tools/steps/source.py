"""Source lines of the machine's code: the assembly with its comments, and the CPUs in it."""

import functools
import re
import textwrap
from pathlib import Path

import gdb

from steps.cpus import instructions_of

TOP = Path(__file__).resolve().parent.parent.parent


@functools.lru_cache(maxsize=None)
def lines_of(path):
    """The lines of a source file, or nothing where it is not at hand."""
    try:
        return Path(path).read_text(errors="replace").splitlines()
    except OSError:
        return ()


def line_at(address):
    """(file as the tree names it, line number, text) of the code at an address; text is empty without the source."""
    return line_of(gdb.find_pc_line(address))


def line_of(place):
    """The same of a place that GDB knows."""
    if place.symtab is None or not place.line:
        return "", 0, ""
    name = Path(place.symtab.filename)
    path = TOP / (name if not name.is_absolute() else name.relative_to(TOP) if name.is_relative_to(TOP) else name)
    lines = lines_of(path)
    text = lines[place.line - 1] if place.line <= len(lines) else ""
    shown = path.relative_to(TOP) if path.is_relative_to(TOP) else path
    first = place.line
    if re.fullmatch(r"[^(]*\) \{", text):       # the end of a function's head: the line with its name
        while "(" not in lines[first - 1]:
            first -= 1
        text = lines[first - 1].partition("(")[0] + "(...) {"
    return str(shown), first, text.strip()


def code_lines(cpu):
    """A CPU's next step: the statement, its own and not that of a header's one-liner, and the instruction."""
    file, number, text = line_of(cpu.frame().find_sal())
    statement = wrapped(f"{file}:{number}   ", text) if text else [cpu.function]
    return [*statement, f"  => {cpu.instruction.split(' #')[0]}"]


def listing(function, cpus):
    """An assembly function line by line, with an arrow in the column of each CPU that is about to execute one."""
    heads, rows = "".join(f"{str(cpu):7}" for cpu in cpus), []
    places = [cpu.pc for cpu in cpus]
    code = instructions_of(function)
    for address, instruction in code:
        _, number, text = line_at(address)
        arrows = "".join(f"{' =>' if place == address else '':7}" for place in places)
        rows += wrapped(f"{arrows}{number:4}  ", aligned(text) if text else instruction)
    return [f"{heads}      {function} in {line_at(code[0][0])[0]}"] + rows


def wrapped(lead, text):
    """A row as lines that fit: a comment that is too long goes on below itself, and so does a statement without one."""
    from steps.guide import INDENT, columns
    room = columns() - INDENT - len(lead)
    code, mark, comment = text.partition(" ;")
    if len(text) <= room:
        return [lead + text]
    if not mark:
        return textwrap.wrap(text, max(room, 12) + len(lead), initial_indent=lead, subsequent_indent=" " * len(lead))
    parts = textwrap.wrap(comment.strip(), max(room - len(code) - 3, 12))
    return [f"{lead}{code} ; {parts[0]}"] + [f"{' ' * (len(lead) + len(code))} ; {part}" for part in parts[1:]]


def aligned(text):
    """An instruction without a label as far to the right as one behind a label, and its comment not too far away."""
    code, mark, comment = text.partition(";")
    code = code.rstrip() if ":" in code.split()[0] else f"        {code.rstrip()}"
    return f"{code:26} ;{comment}" if mark else code
