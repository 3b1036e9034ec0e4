"""!analyze: what the machine died of, whose fault it is, and what to do, in one page."""

import hashlib
import os

import gdb

from kd.commands.exceptioncommands import print_context, print_record
from kd.commands.imagecommands import machine_line, print_machine
from kd.commands.stackcommands import print_instruction, print_registers, print_stack as stack
from kd.model import blame as blaming
from kd.model.bugcodes import ACCESS_CODES, Bug, code_place, current, level, reached, row_of
from kd.model.regions import region_of
from kd.model.statuses import status_name
from kd.model.threads import is_thread, name_of
from kd.target.command import KdError, command, reason
from kd.target.expression import evaluate
from kd.target.memory import grave, is_readable, size_of, structure, unreadable, value_of
from kd.target.modules import module_at
from kd.target.processors import processor
from kd.target.registers import trap_registers
from kd.target.session import session
from kd.target.symbols import nearest, symbol

WIDTH = 79
SOURCE_LINES = 3                                # shown before and behind the guilty one
PASSIVE_ROUTINES = ("Zw", "Nt")                  # what begins so is for PASSIVE_LEVEL: the file calls, above all
DISPATCH_LEVEL = 2
EXCEPTION_CODES = {0x1E, 0x3B, 0x7E, 0x8E}       # their first parameter is a status
# Codes that the first parameter divides, and what WinDbg says of its values.
DIVIDED_CODES = {0x19, 0xC2, 0xC4, 0xC9, 0x133, 0x139, 0x13A, 0xC7, 0xE4, 0x7F, 0x1A}
VALUE_WORDS = {0x133: {0: "DPC", 1: "ISR"}}
FAST_FAIL = 0x139
# A thread that ended at an IRQL that a lock gives: what that means, and what to do.
ENDED_WRONGLY = 0x20
LEFT_AT = {1: ("The thread ended at APC_LEVEL: it still owns a fast or guarded mutex, or it raised the IRQL itself.",
               "Release the mutex, or lower the IRQL, on every path out of the thread's routine; "
               "look at each early return."),
           2: ("The thread ended at DISPATCH_LEVEL: it still holds a spin lock, or it raised the IRQL itself.",
               "Release the spin lock, or lower the IRQL, on every path out of the thread's routine; "
               "look at each early return.")}
NULL_POINTERS = 0x10000                          # below: a NULL pointer and an offset
TOUCHED_AT_IRQL = {0x0A, 0xD1}                   # their own advice is for memory that is there at a lower IRQL
NULL_ADVICE = ("The pointer is NULL: nothing lies there at any IRQL, so neither another pool nor another lock helps. Look where it "
               "should have got its value: an allocation that failed and was not checked, a field that was never set, one that "
               "was cleared too early.")


@command("!analyze", "[-v] [-show [CODE [P1 P2 P3 P4]]]", "what the machine died of, whose fault it is, and what to do")
def analyze(arguments):
    """Without -v: the bugcheck, its parameters in words, and the guilty place. -v adds registers, stack, source,
    bucket. -show explains a code (this machine's, or CODE in hexadecimal with parameters)."""
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
    verdict(bug, number, frames, guilty)


def greet():
    """The opening of a session: the machine, its cause of death, the place, and what to type; as far as the dump has it."""
    print(machine_line())
    try:
        bug = current()
        values = ", ".join(f"{value:x}" for value in bug.parameters)
        print(f"BugCheck {bug.code:X}, {{{values}}}: {bug.row.name}")
        number, frames = blaming.crash_stack(bug)
        guilty = blaming.find(bug, frames)
        line = f" ({guilty.file}:{guilty.line})" if guilty and guilty.file else ""
        offset = f"+{guilty.offset:#x}" if guilty and guilty.function else ""
        print(f"Probably caused by: {place_of(guilty)}{offset}{line}, on CPU {number}")
        print("Use !analyze -v for the explanation; `help` lists the commands, `q` leaves.")
    except (KdError, gdb.error) as problem:
        print(f"{reason(problem)}\n`help` lists the commands, `q` leaves.")


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
    print("\n".join([stars, f"*{' ' * (WIDTH - 2)}*", f"*{'Bugcheck Analysis':^{WIDTH - 2}}*",
                     f"*{' ' * (WIDTH - 2)}*", stars, ""]))


def explain(bug, with_values=True):
    """Name, reason, and the four parameters in words."""
    print(f"{bug.row.name} ({bug.code:x})")
    print(filled(bug.row.why))
    print("Arguments:")
    for index in range(4):
        kind, meaning = bug.kind(index)
        value = said(bug, index) if with_values else ""
        words = "not used" if kind == "UNUSED" else ": ".join(filter(None, (meaning, value)))
        print(f"Arg{index + 1}: {bug.parameters[index]:016x}, {words}" if words
              else f"Arg{index + 1}: {bug.parameters[index]:016x}")
    print()


def said(bug, index):
    """A parameter in words; the reason where its object cannot be read."""
    try:
        return bug.decoded(index)
    except (KdError, gdb.error) as problem:
        return f"({reason(problem)})"


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
    has_context = print_exception(bug)
    field("CURRENT_IRQL", f"{int(value_of('KiBug')['Irql']):x}")
    print_trap(bug, has_context)
    print_process()
    print_stack(number, frames)
    print_source(guilty)


def level_of_dump():
    return (session.dump or {}).get("level") or ("live machine" if session.kind != "dump" else "core by the emulator")


def print_access(bug):
    """READ_ADDRESS or its kind, with the region's name."""
    touch = bug.touch()
    if touch is None:
        return
    place = region_of(touch.address)
    field(f"{touch.access.upper()}_ADDRESS",
          f"{touch.address:016x} {place.name if place else 'unknown region'}".rstrip())


def block_of(name, value, shower, command_name):
    """A structure under a title; a line where this dump does not have it. Returns whether it has."""
    field(name, f"{value:016x} -- ({command_name} {value:#x})", blank=False)
    try:
        shower(value)
        return True
    except (KdError, gdb.error) as problem:
        print(f"    ({reason(problem)})")
        return False
    finally:
        print()


def print_exception(bug):
    """The exception and its registers, for codes that have them as parameters; returns whether registers were shown."""
    has_context = False
    for index in range(4):
        kind, value = bug.kind(index)[0], bug.parameters[index]
        if kind == "RECORD" and value:
            block_of("EXCEPTION_RECORD", value, print_record, ".exr")
        elif kind == "CONTEXT" and value:
            has_context = block_of("CONTEXT", value, print_context, ".cxr")
    if bug.code in EXCEPTION_CODES:
        field("EXCEPTION_CODE", f"({status_name(bug.parameters[0])}) {bug.parameters[0] & 0xFFFFFFFF:#x}")
    return has_context


def print_trap(bug, has_context):
    """The trap frame, with registers and the instruction that faulted; registers once only."""
    frame = int(value_of("KiBug")["Frame"])
    if not frame:
        return

    def shower(address):
        if not is_readable(address, size_of("KTRAP_FRAME")):
            raise unreadable(address)
        registers = trap_registers(address)
        print_registers(registers)
        print_instruction(registers["rip"], registers)

    if not has_context:
        block_of("TRAP_FRAME", frame, shower, ".trap")
    if not is_readable(frame, size_of("KTRAP_FRAME")):
        return
    rip = int(structure("KTRAP_FRAME", frame)["Rip"])
    section = section_of(rip)
    if section is not None and section.name.startswith("PAGE"):
        field("IP_IN_PAGED_CODE", f"{section.name} section: this code itself may be out of memory")
    if bug.access() == "execute":
        field("FAILED_INSTRUCTION_ADDRESS", f"{rip:016x} {symbol(rip)}")


def section_of(address):
    module = module_at(address)
    return module.section_at(address) if module else None


def print_process():
    thread = int(value_of("KiBug")["Thread"])
    field("PROCESS_NAME", "System")
    if is_thread(thread):
        field("THREAD_NAME", f"{name_of(thread)} (.thread {thread:#x})")


def print_stack(number, frames):
    print(f"STACK_TEXT:  (CPU {number})")
    stack(frames, with_words=True, with_numbers=False)
    print()


def print_source(guilty):
    """FAULTING_SOURCE_LINE and what follows it: the guilty line among its neighbours."""
    if guilty is None or not guilty.line:
        return
    path = guilty.path
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


def source_lines(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as source:
            return source.read().splitlines()
    except (OSError, TypeError):
        return []


# ---- The end: who, what to do ----

def bucket(bug, guilty):
    """The name under which crashes of one cause are put together: AV_W_secret!SecretStore,
    0x139_3_CORRUPT_LIST_ENTRY_..."""
    place, touch = place_of(guilty), bug.touch()
    if touch is not None and touch.access == "execute":
        return f"AV_CODE_AV_{'PAGED_IP_' if is_paged_code(touch.address) else ''}{place}"
    if touch is not None:
        return f"AV_{touch.access[0].upper()}_{'(null)_' if touch.address < NULL_POINTERS else ''}{place}"
    if bug.code in ACCESS_CODES:
        return f"AV_{place}"
    if bug.code in EXCEPTION_CODES:
        return f"{bug.code:#x}_{bug.parameters[0] & 0xFFFFFFFF:x}_{place}"
    if bug.code in DIVIDED_CODES:
        return "_".join(filter(None, (f"{bug.code:#x}", value_words(bug), place)))
    return f"{bug.code:#x}_{place}"


def value_words(bug):
    """The first parameter's part of the bucket: "7", "DPC", "3_CORRUPT_LIST_ENTRY"."""
    value = bug.parameters[0]
    known = VALUE_WORDS.get(bug.code, {}).get(value)
    if known or bug.code != FAST_FAIL:
        return known or f"{value:x}"
    name = (bug.value_name(0) or "").split(":")[0].split(",")[0].split("(")[0]
    return "_".join([f"{value:x}"] + name.upper().split())


def is_paged_code(address):
    section = section_of(address)
    return section is not None and section.name.startswith("PAGE")


def place_of(guilty):
    if guilty is None:
        return "unknown"
    return f"{guilty.module}!{guilty.function}" if guilty.function else guilty.module


def verdict(bug, number, frames, guilty):
    """SYMBOL_NAME to the end, and the paragraph for a beginner."""
    if guilty is not None:
        offset = f"+{guilty.offset:x}" if guilty.function else ""
        field("SYMBOL_NAME", place_of(guilty) + offset)
        field("MODULE_NAME", guilty.module)
        field("IMAGE_NAME", "kernel.elf" if guilty.module == "nt" else f"{guilty.module}.sys")
    frame = int(value_of("KiBug")["Frame"])
    field("STACK_COMMAND", f".trap {frame:#x} ; kb" if frame else f"~{number}s ; kb")
    if guilty is not None and guilty.function:
        field("BUCKET_ID_FUNC_OFFSET", f"{guilty.offset:x}")
    name = bucket(bug, guilty)
    field("FAILURE_BUCKET_ID", name)
    field("OS_VERSION", version())
    digest = hashlib.sha256(name.encode()).hexdigest()
    field("FAILURE_ID_HASH", "{" + "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))
          + "}")
    field("Followup", f"the author of {guilty.module}" if guilty and guilty.module != "nt" else "the kernel's own team")
    print("In plain words:\n" + filled(plain(bug, number, frames, guilty)) + "\n")
    print("What to do:\n" + filled(advice(bug, frames, guilty)))


def version():
    if session.kind == "live":
        return "Bugcheck (a live machine says no version)"
    return (session.dump or {}).get("version") or "Bugcheck (a core by the emulator says no version)"


def plain(bug, number, frames, guilty):
    """One paragraph for someone who sees a bugcheck for the first time."""
    sentences = [whereabouts(number, frames, guilty)]
    worker = servant(frames, guilty)
    touch = bug.touch()
    subject = "It"
    if worker:
        called = blaming.called_by(frames, guilty)
        sentences.append(f"It called {called or 'the system'}, and so the machine died in {worker}, on its behalf.")
        subject = "That code"
    if touch is not None:
        verb = {"read": "read from", "write": "wrote to", "execute": "ran code at"}[touch.access]
        try:
            words = reached(touch.address)
        except (KdError, gdb.error) as problem:
            words = str(problem)
        sentences.append(f"{subject} {verb} {grave(touch.address)}: {words}.")
    elif bug.value_name(0):
        sentences.append(f"What was found: {bug.value_name(0)}.")
    sentences += [LEFT_AT[bug.parameters[2]][0]] if left_raised(bug) else []
    return " ".join(sentences + [bug.row.why])


def whereabouts(number, frames, guilty):
    """The first sentence: which CPU, at which IRQL, and who."""
    state = value_of("KiBug")
    died = int(state["Processor"])
    irql = int(state["Irql"])
    text = f"CPU {died} was at IRQL {irql} ({level(irql)})"
    if number != died:
        hung = processor(number).irql
        text = f"CPU {died} found that CPU {number} hangs"
        text += f" at IRQL {hung} ({level(hung)})" if hung is not None else ""
    if guilty is None:
        return f"{text}."
    line = f", {guilty.file} line {guilty.line}" if guilty.line else ""
    called = blaming.called_by(frames, guilty)
    if called and number == died and not int(state["Frame"]):
        return (f"{place_of(guilty)}{line}, called {called}, and a check of the kernel's stopped the machine: "
                f"{text} then.")
    if guilty.frame is not None and guilty.function:
        return f"{text} in {place_of(guilty)}{line}."
    if guilty.frame is not None:
        return f"{text} in code of {guilty.module}, but there is none any more: {guilty.why}."
    return f"{text}. No driver was running there, but the trail leads to {place_of(guilty)}{line}: {guilty.why}."


def servant(frames, guilty):
    """Where the machine died, if that was in a module that worked for the guilty one: "fastfat!FatVerifyVolume
    (driver.c:48)"."""
    frame = blaming.servant_of(frames, guilty)
    found = frame and nearest(blaming.looked_up(frame))
    if not found or not value_of("KiBug")["Frame"]:
        return None                             # raised by a call: the kernel's own check found it
    return code_place(blaming.looked_up(frame))


def advice(bug, frames, guilty):
    """The fix: the code's own, or what is wrong with a call at this IRQL."""
    called = blaming.called_by(frames, guilty)
    if called and called.startswith(PASSIVE_ROUTINES) and int(value_of("KiBug")["Irql"]) >= DISPATCH_LEVEL:
        return (f"{called} may be called at PASSIVE_LEVEL only: what it does needs pageable code and data, and waits. Release "
                "the spin lock before the call; where the IRQL is not yours (a DPC, a timer, an interrupt), give the work to "
                "a system thread: IoQueueWorkItem.")
    if bug.code in TOUCHED_AT_IRQL and bug.parameters[0] < NULL_POINTERS:
        return NULL_ADVICE
    return LEFT_AT[bug.parameters[2]][1] if left_raised(bug) else bug.row.fix


def left_raised(bug):
    """Whether a thread ended at an IRQL that a lock gives."""
    return bug.code == ENDED_WRONGLY and bug.parameters[2] in LEFT_AT


@command("!crash", "", "!di, the bugcheck with its parameters in words, and the stack of the crash")
def crash(arguments):
    """The machine, what it died of, and the stack of the CPU that tells; `!analyze -v` says more, and whose fault it
    is."""
    print_machine()
    print()
    bug = current()
    explain(bug)
    number, frames = blaming.crash_stack(bug)
    print(f"Stack of CPU {number}:")
    stack(frames)
