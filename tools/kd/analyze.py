"""!analyze: what the machine died of, whose fault it is, where to look in the source, and what to do, in one page."""

import hashlib
import os

import gdb

from kd import blame as blaming
from kd.bugcodes import Bug, current, row_of
from kd.command import KdError, command
from kd.expression import evaluate
from kd.memory import grave, is_readable, size_of, value_of
from kd.regions import region_of
from kd.session import session

WIDTH = 79
SOURCE_LINES = 3                                # shown before and behind the guilty one
PAGE_FAULT = 14
# Codes whose bucket begins with what was done to memory, and those that the first parameter divides.
ACCESS_CODES = {0x0A, 0xD1, 0x50, 0xBE, 0xFC, 0xD5, 0xD6, 0xCC, 0xCD, 0xCE, 0xD3, 0xD4}
DIVIDED_CODES = {0x19, 0xC1, 0xC2, 0xC4, 0x133, 0x139, 0x13A, 0xE3, 0x7F}


@command("!analyze", "[-v] [-show [CODE [P1 P2 P3 P4]]]", "what the machine died of, whose fault it is, and what to do")
def analyze(arguments):
    """Without -v: the bugcheck, its parameters in words, and the guilty place. -v adds registers, stack, source, bucket.
    -show explains a code (this machine's, or CODE in hexadecimal with parameters)."""
    if arguments and arguments[0] == "-show":
        show(arguments[1:])
        return
    if any(word not in ("-v",) for word in arguments):
        raise KdError("usage: !analyze [-v] [-show [CODE [P1 P2 P3 P4]]]")
    bug = current()
    banner()
    explain(bug)
    number, frames = blaming.crash_stack(bug)
    guilty = blaming.find(bug, frames)
    print("Debugging Details:\n------------------\n")
    if "-v" in arguments:
        details(bug, number, frames, guilty)
    verdict(bug, guilty)


def show(words):
    """-show: a code and its arguments."""
    if not words:
        explain(current())
        return
    code, parameters = evaluate(words[0]), [evaluate(word) for word in words[1:5]]
    if row_of(code).name == "(no name)":
        raise KdError(f"{code:#x} is no bugcheck of this kernel; docs/bugchecks.md lists them")
    explain(Bug(code, parameters + [0] * (4 - len(parameters))), with_values=bool(parameters))


def banner():
    stars = "*" * WIDTH
    print("\n".join([stars, f"*{' ' * (WIDTH - 2)}*", f"*{'Bugcheck Analysis':^{WIDTH - 2}}*", f"*{' ' * (WIDTH - 2)}*", stars, ""]))


def explain(bug, with_values=True):
    """Name, reason, and the four parameters in words."""
    print(f"{bug.row.name} ({bug.code:x})")
    print(filled(bug.row.why))
    print("Arguments:")
    for index in range(4):
        kind, meaning = bug.kind(index)
        words = "not used" if kind == "UNUSED" else ": ".join(filter(None, (meaning, said(bug, index) if with_values else "")))
        print(f"Arg{index + 1}: {bug.parameters[index]:016x}, {words}" if words else f"Arg{index + 1}: {bug.parameters[index]:016x}")
    print()


def said(bug, index):
    """A parameter in words; the reason where its object cannot be read."""
    try:
        return bug.decoded(index)
    except (KdError, gdb.error) as problem:
        return f"({problem})"


def filled(text):
    """A paragraph in lines."""
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > WIDTH:
            lines.append(line)
            line = ""
        line = f"{line} {word}" if line else word
    return "\n".join(lines + [line])


def field(name, value, blank=True):
    print(f"{name}:  {value}" + ("\n" if blank else ""))


# ---- -v ----

def details(bug, number, frames, guilty):
    print("KEY_VALUES_STRING: 1\n")
    for key, value in (("Bugcheck.Code.KiBugCheckData", f"{bug.code:#x}"), ("Dump.Attributes.Level", level_of_dump()),
                       ("Failure.Bucket", bucket(bug, guilty))):
        print(f"    Key  : {key}\n    Value: {value}\n")
    field("BUGCHECK_CODE", f"{bug.code:x}")
    for index in range(4):
        field(f"BUGCHECK_P{index + 1}", f"{bug.parameters[index]:x}")
    if session.path:
        field("FILE_IN_CAB", os.path.basename(session.path))
    print_access(bug)
    field("CURRENT_IRQL", f"{int(value_of('KiBug')['Irql']):x}")
    print_trap(bug)
    print_process()
    print_stack(number, frames)
    print_source(guilty)


def level_of_dump():
    return (session.dump or {}).get("level") or ("live machine" if session.kind != "dump" else "core by the emulator")


def print_access(bug):
    """READ_ADDRESS or its kind, with the region's name."""
    touched, access = bug.values("ADDRESS"), bug.access()
    if bug.code not in ACCESS_CODES or not touched or access is None:
        return
    place = region_of(touched[0])
    name = {"read": "READ_ADDRESS", "write": "WRITE_ADDRESS", "execute": "EXECUTE_ADDRESS"}[access]
    field(name, f"{touched[0]:016x} {place.name if place else 'unknown region'}".rstrip())


def print_trap(bug):
    """The trap frame, with registers and the instruction that faulted."""
    from kd.stackcommands import print_instruction, print_registers
    from kd.unwinder import trap_registers
    frame = int(value_of("KiBug")["Frame"])
    if not frame:
        return
    field("TRAP_FRAME", f"{frame:016x} -- (.trap {frame:#x})", blank=False)
    if not is_readable(frame, size_of("KTRAP_FRAME")):
        print("    (not in this dump)\n")
        return
    registers = trap_registers(frame)
    print_registers(registers)
    print_instruction(registers["rip"], registers)
    print()
    section = section_of(registers["rip"])
    if section is not None and section.name.startswith("PAGE"):
        field("IP_IN_PAGED_CODE", f"{section.name} section: this code itself may be out of memory")
    if bug.access() == "execute":
        field("FAILED_INSTRUCTION_ADDRESS", f"{registers['rip']:016x}")


def section_of(address):
    from kd.modules import module_at
    module = module_at(address)
    return module.section_at(address) if module else None


def print_process():
    from kd.threads import is_thread, name_of
    thread = int(value_of("KiBug")["Thread"])
    field("PROCESS_NAME", "System")
    if is_thread(thread):
        field("THREAD_NAME", f"{name_of(thread)} (.thread {thread:#x})")


def print_stack(number, frames):
    from kd.stackcommands import print_stack as stack
    print(f"STACK_TEXT:  (CPU {number})")
    stack(frames, with_words=True, with_numbers=False)
    print()


def print_source(guilty):
    """FAULTING_SOURCE_LINE and what follows it: the guilty line among its neighbours."""
    if guilty is None or guilty.address is None or not guilty.line:
        return
    path = source_path(guilty.address)
    field("FAULTING_SOURCE_LINE", path or guilty.file)
    field("FAULTING_SOURCE_FILE", path or guilty.file)
    field("FAULTING_SOURCE_LINE_NUMBER", guilty.line)
    print("FAULTING_SOURCE_CODE:")
    lines = source_lines(path)
    if not lines:
        print("    (the source is not here)\n")
        return
    for at in range(max(guilty.line - SOURCE_LINES, 1), min(guilty.line + SOURCE_LINES, len(lines)) + 1):
        print(f"{'>' if at == guilty.line else ' '}{at:6}: {lines[at - 1]}".rstrip())
    print()


def source_path(address):
    place = gdb.find_pc_line(address)
    return place.symtab.fullname() if place.symtab else None


def source_lines(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as source:
            return source.read().splitlines()
    except (OSError, TypeError):
        return []


# ---- The end: who, what to do ----

def bucket(bug, guilty):
    """The name under which crashes of one cause are put together: AV_WRITE_secret!SecretStore."""
    place = place_of(guilty)
    if bug.code in ACCESS_CODES and bug.access() == "execute":
        return f"AV_CODE_AV_{'PAGED_IP_' if is_paged_code(bug) else ''}{place}"
    if bug.code in ACCESS_CODES:
        return f"AV_{place}" if bug.access() is None else f"AV_{bug.access()[0].upper()}_{place}"
    if bug.code in DIVIDED_CODES:
        name = (bug.value_name(0) or "").split(":")[0].split(",")[0]
        words = "_".join(name.upper().replace("(", "").replace(")", "").split()[:5])
        return "_".join(filter(None, (f"{bug.code:#x}_{bug.parameters[0]:x}", words, place)))
    return f"{bug.code:#x}_{place}"


def is_paged_code(bug):
    section = section_of(bug.parameters[0])
    return section is not None and section.name.startswith("PAGE")


def place_of(guilty):
    if guilty is None:
        return "unknown"
    return f"{guilty.module}!{guilty.function}" if guilty.function else guilty.module


def verdict(bug, guilty):
    """SYMBOL_NAME to the end, and the paragraph for a beginner."""
    if guilty is not None:
        offset = f"+{guilty.offset:x}" if guilty.function else ""
        field("SYMBOL_NAME", place_of(guilty) + offset)
        field("MODULE_NAME", guilty.module)
        field("IMAGE_NAME", "kernel.elf" if guilty.module == "nt" else f"{guilty.module}.sys")
    frame = int(value_of("KiBug")["Frame"])
    field("STACK_COMMAND", f".trap {frame:#x} ; kb" if frame else f"~{blaming.crash_stack(bug)[0]}s ; kb")
    if guilty is not None and guilty.function:
        field("BUCKET_ID_FUNC_OFFSET", f"{guilty.offset:x}")
    name = bucket(bug, guilty)
    field("FAILURE_BUCKET_ID", name)
    field("OS_VERSION", version())
    digest = hashlib.sha256(name.encode()).hexdigest()
    field("FAILURE_ID_HASH", "{" + "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32])) + "}")
    field("Followup", f"whoever wrote {guilty.module}" if guilty and guilty.module != "nt" else "the kernel's own team")
    print("In plain words:\n" + filled(plain(bug, guilty)) + "\n")
    print("What to do:\n" + filled(bug.row.fix))


def version():
    return (session.dump or {}).get("version") or "Bugcheck (a core by the emulator says no version)"


def plain(bug, guilty):
    """One paragraph for someone who sees a bugcheck for the first time."""
    from kd.bugcodes import level
    state = value_of("KiBug")
    irql = int(state["Irql"])
    words = [f"CPU {int(state['Processor'])} was at IRQL {irql} ({level(irql)})"]
    if guilty is not None and guilty.frame is not None and guilty.function:
        line = f", {guilty.file} line {guilty.line}" if guilty.line else ""
        words.append(f"in {place_of(guilty)}{line}")
    elif guilty is not None:
        words.append(f"and the trail leads to {place_of(guilty)} ({guilty.why})")
    touched = bug.values("ADDRESS")
    text = " ".join(words) + "."
    if bug.code in ACCESS_CODES and touched and bug.access():
        verb = {"read": "read from", "write": "wrote to", "execute": "ran code at"}[bug.access()]
        text += f" It {verb} {grave(touched[0])}: {said(bug, bug.parameters.index(touched[0]))}."
    return text + " " + bug.row.why
