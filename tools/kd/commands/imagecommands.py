"""!di, !imports and !strings: which machine this is, what a driver is bound to and says."""

import time

import gdb

from kd.model.images import KINDS, exports, file_of, imports, is_code, missing_bytes, texts
from kd.target.command import KdError, command, reason
from kd.target.expression import evaluate
from kd.target.memory import MASK, address_of, grave, is_readable, text_at, value_of, why_unreadable
from kd.target.modules import module_named, modules
from kd.target.session import session
from kd.target.symbols import nearest, symbol

TICK_MS = 15.625
MEGABYTE = 1 << 20
EPOCH = 11644473600                             # seconds from 1601 to 1970
SHORTEST = 4


# ---- !di ----

def known(reader, unknown="unknown"):
    """A reader's answer; the reason where a small or torn dump does not have it."""
    try:
        return reader()
    except (KdError, gdb.error) as problem:
        return f"{unknown} ({reason(problem)})"


def build_of():
    """"Checked" or "Free": as the dump says, else by the code that only one of them has."""
    word = (session.dump or {}).get("build")
    if not word:
        word = "checked" if has_symbol("KiLockAcquired") else "free"
    return word.capitalize()


def has_symbol(name):
    try:
        return bool(address_of(name))
    except KdError:
        return False


def uptime():
    """"0 days 0:00:01.234" since the start."""
    ms = int(value_of("KiTickCount") * TICK_MS)
    seconds = ms // 1000
    return f"{seconds // 86400} days {seconds // 3600 % 24}:{seconds // 60 % 60:02}:{seconds % 60:02}.{ms % 1000:03}"


def session_time():
    """The machine's own clock when it stopped."""
    total = value_of("KiBootTime") + value_of("KiInterruptTime")
    moment = time.gmtime(total // 10_000_000 - EPOCH)
    return time.strftime("%a %b %d %H:%M:%S", moment) + f".{total // 10_000 % 1000:03} {moment.tm_year} (UTC)"


def command_line():
    """What the kernel was started with."""
    info = value_of("KeBootInfo")
    value = gdb.parse_and_eval("KeBootInfo->CommandLine")
    return text_at(int(value.address), 512) if info else ""


def ram():
    return f"{int(gdb.parse_and_eval('KeBootInfo->TotalRam')) // MEGABYTE} MB"


def seed_text():
    seed = value_of("KeSeed")
    return f"{seed}" if seed else "none: another run takes other turns"


def dump_text():
    """The file, how much of the machine it has, and what is wrong with it."""
    if session.kind == "live":
        return f"none: a live machine at {session.path}"
    if session.kind == "none":                  # a plain GDB
        core = gdb.execute("info files", to_string=True)
        return "as GDB has it open" if "core dump" in core else "none: a live machine"
    facts = session.dump
    if not facts:
        return f"{session.path} (a core by the emulator)"
    problems = "".join(f"; {problem}" for problem in facts["problems"])
    return f"{session.path} (level {facts['level']}, {'complete' if facts['complete'] else 'not complete'}{problems})"


def bugcheck_text():
    """"D1 (FFFFF8A000003090, 2, 1, FFFFFFFFA000E0C6)", or that there is none."""
    data = value_of("KiBugCheckData")
    code = int(data[0])
    if not code:
        return "none: the machine has not crashed"
    return f"{code & 0xFFFFFFFF:X} (" + ", ".join(f"{int(data[index]) & MASK:X}" for index in range(1, 5)) + ")"


def product():
    """"Bugcheck 10.0.17763 Kernel Version 17763": as the dump says; without a dump of the kernel's own its name
    alone."""
    text = (session.dump or {}).get("version") or "Bugcheck"
    return f"{text} Kernel Version {text.rpartition('.')[2]}" if "." in text else f"{text} Kernel"


def machine_line():
    """"Bugcheck 10.0.17763 Kernel Version 17763 MP (2 procs) Checked x64"."""
    count = known(lambda: value_of("KeNumberProcessors"))
    return f"{product()} {'UP' if count == 1 else 'MP'} ({count} procs) {build_of()} x64"


def print_machine():
    print(machine_line())
    count = known(lambda: value_of("KeNumberProcessors"))
    print(f"Machine: {count} CPUs, {known(ram)} RAM, seed {known(seed_text)}")
    print(f"Command line: {known(command_line)}")
    print(f"Kernel base = 0x{grave(address_of('KernelImageStart'))} "
          f"PsLoadedModuleList = 0x{grave(address_of('PsLoadedModuleList'))}")
    print(f"Modules: {', '.join(module.name for module in modules())}")
    print(f"Debug session time: {known(session_time)}")
    print(f"System Uptime: {known(uptime)}")
    print(f"Bugcheck: {known(bugcheck_text)}")
    print(f"Dump: {dump_text()}")


@command("!di", "", "which machine this is: kernel, CPUs, RAM, seed, uptime, bugcheck, dump")
def di(arguments):
    """The machine on one page: the kernel's version and build (free, checked), CPUs, memory, what it was started with,
    the seed with which the run can be made again, where the kernel and its list of modules are, the machine's own
    clock, how long it was up, the bugcheck with its parameters, and the dump with its level."""
    print_machine()


# ---- !imports ----

def verdict_on(name, target, table, bound):
    """Whether an import leads where it should: a word, and nothing where it does."""
    if target is None:
        return "not in memory"
    right = bound if bound is not None else table.get(name)
    if target == right:
        return ""
    found = nearest(target)
    if right is None:
        return "weak, and bound to nothing" if target == 0 else f"the kernel exports no {name}"
    if found and found[0] == "nt" and (found[1] or "").startswith("Vf"):
        return "the verifier's thunk"
    return f"DIFFERS from the export at {grave(right)}: the place was written over"


def print_slot(name, slot, word):
    target = grave(slot.target) if slot.target is not None else "????????`????????"
    text = symbol(slot.target) if slot.target is not None else name
    where = f"{slot.place.section}+{slot.place.offset:#x}"
    print(f"{grave(slot.address)}  {where:18} {KINDS[slot.place.kind][0]:9} {target}  {text}"
          + (f"  ({name}: {word})" if word else ""))


def print_summary(name, slots, words):
    targets = sorted({slot.target for slot in slots if slot.target is not None})
    word = next((word for word in words if word), "")
    text = ", ".join(symbol(target) for target in targets) or name
    print(f"{grave(targets[0]) if targets else '????????`????????'}  {len(slots):4}  {text}"
          + (f"  ({name}: {word})" if word else ""))


@command("!imports", "[-a] MODULE", "a driver's imports from the kernel; -a: each place, and its content")
def imports_command(arguments):
    """!imports MODULE: each routine and variable of the kernel's that a driver uses, with its address and how many
    places of the driver use it. !imports -a MODULE: each place: its address, section and offset, whether it is a call,
    a relative or an absolute address, the address that is there now, and its owner.

    A driver has no table of slots: the loader writes each address into the instructions themselves. Which places those
    are comes from the driver's file (NAME.sys); the content is read from memory, and compared with the kernel's
    table of exports. A verified driver is bound to the verifier's thunks instead."""
    words = [word for word in arguments if word != "-a"]
    if len(words) != 1:
        raise KdError("usage: !imports [-a] MODULE; lm lists the modules")
    module = module_named(words[0])
    if module.name == "nt":
        raise KdError("the kernel imports nothing: it is what the drivers import from")
    found, bound = imports(module)
    table = exports()
    print(f"Imports of {module.name} ({file_of(module)}):")
    print(f"{'Slot':17}  {'Section+offset':18} {'Kind':9} {'Target':17}  Symbol" if "-a" in arguments
          else f"{'Target':17}  Used  Symbol")
    wrong = total = 0
    for name in sorted(found):
        verdicts = [verdict_on(name, slot.target, table, bound[name]) for slot in found[name]]
        wrong += sum("DIFFERS" in word for word in verdicts)
        total += len(verdicts)
        if "-a" in arguments:
            for slot, word in zip(found[name], verdicts):
                print_slot(name, slot, word)
        else:
            print_summary(name, found[name], verdicts)
    print(f"{len(found)} imports at {total} places" + (f", {wrong} of them not as they were bound" if wrong else ""))


# ---- !strings ----

def strings_options(arguments):
    """(module, shortest, is all wanted) of "-m MODULE [-n N] [-a]"."""
    rest, name, shortest, everything = list(arguments), None, SHORTEST, False
    while rest:
        word = rest.pop(0)
        if word in ("-m", "-n"):
            if not rest:
                raise KdError(f"{word} wants a word behind it")
            value = rest.pop(0)
            name, shortest = (value, shortest) if word == "-m" else (name, evaluate(value))
        elif word == "-a":
            everything = True
        elif name is None:
            name = word
        else:
            raise KdError(f"'{word}'? usage: !strings -m MODULE [-n N] [-a]")
    if name is None or not 1 <= shortest <= 1000:
        raise KdError("usage: !strings -m MODULE [-n N] [-a]; lm lists the modules")
    return module_named(name), shortest, everything


@command("!strings", "-m MODULE [-n N] [-a]", "the printable texts in a module's image")
def strings_command(arguments):
    """!strings -m MODULE: each printable text of four letters and more (-n N: of N, which is hexadecimal like all
    numbers) in the module's constants and data as they are in memory: its address, section, whether it is ASCII or
    UTF-16, the text. -a looks at code too, where much that looks like text is none. What is paged out and not at hand
    is said so."""
    module, shortest, everything = strings_options(arguments)
    count = 0
    if not module.sections:
        raise KdError(f"{module.name}: its sections are not known")
    for section in module.sections:
        if not everything and is_code(module, section):
            continue
        for address, kind, text in texts(section, shortest):
            print(f"{grave(address)}  {section.name:10} {kind:6}  {text}")
            count += 1
        missing = missing_bytes(section)
        if missing:
            print(f"kd: {section.name}: {missing} of its {section.size} bytes cannot be read"
                  + ("" if is_readable(section.start) else f": {why_unreadable(section.start)}"))
    print(f"Texts: {count}")
