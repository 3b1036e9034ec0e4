"""WinDbg's other words: each works where it has a meaning here, or says why it has none.

`elsewhere` is for words that name what this kernel does not have, or what is asked for by another word.
"""

import struct
from fnmatch import fnmatchcase

import gdb

from kd.commands.imagecommands import print_machine
from kd.commands.poolcommands import print_block
from kd.commands.stackcommands import select_gdb_frame, trap, where
from kd.commands.threadcommands import task_list
from kd.model.pagetables import page_table_entries
from kd.model.poolblocks import large_blocks, pool_page, tag_text
from kd.model.pooltags import TagOwners
from kd.model.records import static
from kd.model.regions import range_of, region_of
from kd.model.threads import stack_in_scope
from kd.target import modules, scope
from kd.target.command import KdError, command
from kd.target.expression import evaluate
from kd.target.memory import address_of, grave, read, text_at, try_read, value_of
from kd.target.processors import processors
from kd.target.session import commands_of_gdb, elsewhere, run_to_the_end, session
from kd.target.symbols import symbol

NO_USER_MODE = "there is no user mode here"
elsewhere.update({
    "!peb": NO_USER_MODE, "!teb": NO_USER_MODE, "!heap": f"{NO_USER_MODE}; !pool and !poolused show the kernel's pools",
    "!gle": f"{NO_USER_MODE}; a thread's last status is in no field of it", "!vad": f"{NO_USER_MODE}; !address shows the kernel's regions",
    "!session": "there is one session, the kernel's", "!token": "there are no security tokens", "!reg": "there is no registry",
    "!sysinfo": "!di shows the machine, !cpuinfo its CPUs",
    "!devnode": "there is no Plug and Play tree; !object \\Device lists the devices",
    "!zombies": "there is one process; !stacks lists the threads", "!job": "there are no jobs",
    ".sympath": "symbols are found beside the kernel.elf and beside the dump; lm says where",
    ".symfix": "nothing to set: lm says where the symbols are", ".srcpath": "sources are found in the tree that built the kernel",
    ".process": "there is one process, the kernel's",
    ".logopen": "gdb set logging enabled on", ".crash": "on a running machine: tools/bugcheck run NAME; `!analyze -v` afterwards",
    ".dump": "the dying kernel writes one: build/run/crash.elf", ".reboot": "tools/bugcheck run starts a machine",
    "pt": "gdb finish", "pa": "gdb until", "wt": "!trace shows what was recorded",
    "eb": "gdb set {char}ADDRESS = VALUE, on a running machine",
    "ed": "gdb set {int}ADDRESS = VALUE, on a running machine", "eq": "gdb set {long}ADDRESS = VALUE, on a running machine",
    "ba": "gdb watch *(int *)ADDRESS, on a running machine", "sxe": "exceptions stop nothing here; bp nt!KiBugCheckFromTrap does",
})
EXCEPTIONS = ("divide error", "debug", "NMI", "breakpoint", "overflow", "bound", "invalid opcode", "no FPU", "double fault", "", "bad TSS",
              "segment not present", "stack fault", "general protection", "page fault", "", "FPU error", "alignment check",
              "machine check", "SIMD error")
INTERRUPTS = {0x1F: "APC", 0x2F: "DISPATCH (DPCs)", 0xD1: "clock", 0xE1: "IPI", 0xE2: "APIC error"}
GATE = struct.Struct("<HHBBHII")
POOLS = (("RegionNonPagedPool", "nonpaged"), ("RegionPagedPool", "paged"))


# ---- Going on, and stopping ----

def needs_life(what):
    """KdError on a dump, which does not run."""
    if session.kind == "dump":
        raise KdError(f"a dump does not run, so {what}; tools/bugcheck gdb runs a machine, tools/bugcheck rewind goes back in a seeded run")


@command("g", "", "lets a running machine go on, to the next breakpoint or its end")
def go(arguments):
    """GDB's continue. A dump cannot; in `tools/bugcheck rewind` the machine goes as far as its end, and comes back."""
    needs_life("nothing goes on")
    if session.kind == "past":
        run_to_the_end()
    else:
        commands_of_gdb("continue")


@command("t", "[COUNT]", "one instruction, into calls")
def trace_into(arguments):
    """GDB's stepi, on a running machine. (p is GDB's print; gdb nexti steps over a call.)"""
    needs_life("there is no next instruction")
    commands_of_gdb(f"stepi {evaluate(arguments[0]) if arguments else 1}")
    commands_of_gdb("x/i $pc")


@command("gu", "", "on to the caller")
def go_up(arguments):
    """GDB's finish, on a running machine."""
    needs_life("nothing returns")
    commands_of_gdb("finish")


@command("bp", "MODULE!NAME | ADDRESS", "a breakpoint; one in a driver that is not loaded yet waits for it")
def set_breakpoint(arguments):
    """On a running machine. GDB's own `break FILE:LINE` and `hbreak NAME if CONDITION` are there too."""
    needs_life("nothing comes to a breakpoint")
    if len(arguments) != 1:
        raise KdError("bp takes one place: bp secret!SecretStore")
    modules.let_breakpoints_wait()
    word = arguments[0]
    try:
        commands_of_gdb(f"hbreak *{evaluate(word):#x}")
    except KdError:
        module, mark, name = word.rpartition("!")
        if not mark and not word.isidentifier() or module in ("nt", "kernel"):
            raise
        commands_of_gdb(f"hbreak {name}")


@command("bl", "", "the breakpoints")
def list_breakpoints(arguments):
    """GDB's info breakpoints. bc N, bd N and be N clear, disable and enable one."""
    commands_of_gdb("info breakpoints")


def change(name, gdb_name, arguments):
    """One breakpoint, or all of them."""
    if len(arguments) != 1 or not (arguments[0] == "*" or arguments[0].isdigit()):
        raise KdError(f"{name} takes the number of a breakpoint, or *; bl lists them")
    commands_of_gdb(gdb_name if arguments[0] == "*" else f"{gdb_name} {arguments[0]}")


@command("bc", "N | *", "clears a breakpoint")
def clear_breakpoint(arguments):
    """N is the number of bl; * means all."""
    change("bc", "delete", arguments)


@command("bd", "N | *", "disables a breakpoint")
def disable_breakpoint(arguments):
    """N is the number of bl; * means all."""
    change("bd", "disable", arguments)


@command("be", "N | *", "enables a breakpoint")
def enable_breakpoint(arguments):
    """N is the number of bl; * means all."""
    change("be", "enable", arguments)


# ---- The frame, the machine ----

@command("dv", "", "the arguments and variables of the frame that .frame selected")
def show_variables(arguments):
    """What the compiler has kept in a register shows as <optimized out> once it is no longer needed."""
    frames = stack_in_scope()
    if scope.frame_number >= len(frames) or select_gdb_frame(frames[scope.frame_number]) is None:
        raise KdError("GDB finds no such frame; .frame N selects one of kn's")
    said = [gdb.execute(f"info {what}", to_string=True) for what in ("args", "locals")]
    print("".join(text for text in said if not text.startswith("No ")).rstrip() or "no arguments, no variables")


@command("kp", "[COUNT]", "the stack with the functions' arguments")
def stack_with_arguments(arguments):
    """As kn, with each argument as far as the compiler has kept it."""
    count = evaluate(arguments[0]) if arguments else None
    for number, frame in enumerate(stack_in_scope()[:count]):
        found = select_gdb_frame(frame)
        print(f"{number:02x} {frame.symbol}({', '.join(arguments_of(found)) if found else ''}){where(frame)}")


def arguments_of(frame):
    """["Number = 43"]: the arguments of one of GDB's frames."""
    try:
        block = frame.block()
        while block.function is None and block.superblock is not None:
            block = block.superblock
        return [f"{symbol_.name} = {text_of(symbol_.value(frame))}" for symbol_ in block if symbol_.is_argument]
    except (gdb.error, RuntimeError):
        return []


def text_of(value):
    if value.is_optimized_out:
        return "?"
    kind = value.type.strip_typedefs()
    return f"{int(value):#x}" if kind.code in (gdb.TYPE_CODE_PTR, gdb.TYPE_CODE_INT) else str(value)


@command("vertarget", "", "which machine this is, as !di says")
def show_target(arguments):
    """The kernel's version and build, CPUs, memory, seed, times, bugcheck, dump."""
    print_machine()


@command("version", "", "vertarget, and the debugger's own version")
def show_version(arguments):
    """GDB's first line below what vertarget says."""
    show_target(arguments)
    print(gdb.execute("show version", to_string=True).splitlines()[0])


@command(".ecxr", "", "the context of the crash: .trap without an address")
def crash_context(arguments):
    """There are no exception records of user mode: the crash has a trap frame, which .trap shows."""
    trap([])


@command(".reload", "", "reads the list of modules, and their symbols, anew")
def reload_modules(arguments):
    """Options such as /f are taken, and change nothing."""
    found = modules.refresh()
    without = [module.name for module in found if not module.path]
    print(f"{len(found)} modules; " + (f"no symbols for {', '.join(without)}" if without else "symbols for all"))


@command("!process", "[ADDRESS [FLAGS]]", "the process: there is one, the kernel's")
def process(arguments):
    """In any form: the table of !tl. !stacks lists the threads, !thread ADDRESS shows one."""
    task_list([])
    print("There is one process, the kernel's: !stacks lists its threads, !thread ADDRESS shows one.")


@command("!cpuinfo", "", "the CPUs: kind, speed, and what the kernel uses of them")
def cpuinfo(arguments):
    """As the kernel has asked CPUID, once, on the boot CPU."""
    features = value_of("HalFeatures")
    brand = text_at(int(features["Brand"].address), 49)
    flags = [field.name for field in features.type.fields() if field.name != "Brand" and field.type.sizeof == 1]
    used = [name for name in flags if int(features[name])]
    print(f"{value_of('KeNumberProcessors')} x {brand}, of which the kernel uses: {', '.join(used) or 'no extension'}")
    for found in processors():
        print(f"CPU {found.number}  Prcb {grave(found.prcb)}  at {symbol(found.context.rip)}")


@command("!idt", "[VECTOR]", "the interrupt table: where each vector that has a meaning leads")
def idt(arguments):
    """All 256 gates lead to a stub of their own in trap.asm; a gate that leads elsewhere is named."""
    base = address_of_table()
    gates = [GATE.unpack(read(base + 16 * vector, 16)) for vector in range(256)]
    stubs, wanted = address_of("KiVectorStubs"), evaluate(arguments[0]) if arguments else None
    if wanted is not None and wanted > 0xFF:
        raise KdError(f"{wanted:#x} is no vector: they end at 0xff")
    print(f"Dumping IDT: {grave(base)}\n")
    for vector, (low, _, ist, _, middle, high, _) in enumerate(gates):
        target = low | middle << 16 | high << 32
        name = EXCEPTIONS[vector] if vector < len(EXCEPTIONS) else INTERRUPTS.get(vector, "")
        strange = target != stubs + 16 * vector
        if vector == wanted or strange or wanted is None and name:
            print(f"{vector:02x}: {grave(target)} {symbol(target):28} {name}" + (f"  (stack IST{ist})" if ist else "")
                  + ("  NOT its stub in trap.asm" if strange else ""))


def address_of_table():
    return int(static("idt.c", "Idt").address)


# ---- Memory ----

def string_at(arguments, width):
    """Prints the text at an address, up to its end or 0n256 letters."""
    if not arguments:
        raise KdError("an address is needed")
    address, letters = evaluate(" ".join(arguments)), ""
    for index in range(256):
        raw = try_read(address + index * width, width)
        if raw is None and not index:
            read(address, width)                # says why
        code = int.from_bytes(raw or b"", "little")
        if not code:
            break
        letters += chr(code) if 32 <= code < 127 or width == 2 and 160 <= code < 0xD800 else "."
    print(f'{grave(address)}  "{letters}"')


@command("da", "ADDRESS", "memory as a text of bytes")
def show_text(arguments):
    """Up to its zero, 0n256 letters at most; what is no letter is a point."""
    string_at(arguments, 1)


@command("du", "ADDRESS", "memory as a text of WCHARs")
def show_wide_text(arguments):
    """As da, of 16 bits each."""
    string_at(arguments, 2)


@command("!poolfind", "TAG [0|1]", "the blocks of a tag: 0 in nonpaged pool, 1 in paged pool; in both unless told")
def poolfind(arguments):
    """* and ? stand for any characters of the tag. Pages that are paged out are read from the page file, or from the kernel's record."""
    if not arguments or len(arguments) > 2 or arguments[1:] not in ([], ["0"], ["1"]):
        raise KdError("usage: !poolfind TAG [0|1]")
    wanted = arguments[0].ljust(4)[:4]
    chosen = POOLS if len(arguments) == 1 else POOLS[int(arguments[1]):int(arguments[1]) + 1]
    count, owners = 0, TagOwners()
    def fits(tag):
        return bool(tag) and (fnmatchcase(tag_text(tag), wanted) or fnmatchcase(tag_text(tag).rstrip(), arguments[0]))
    for kind, name in chosen:
        print(f"Searching {name} pool for tag {arguments[0]}")
        known = range_of(kind)
        for address, contents in page_table_entries(known.start, known.highest):
            if not contents:
                continue
            try:
                page = pool_page(address)
            except (KdError, gdb.error):
                continue
            for block in page.blocks if page else ():
                if block.type and fits(block.tag):
                    print_block(block, False, owners, 0)
                    count += 1
        for block in large_blocks():
            if fits(block.tag) and region_of(block.start).kind == kind:
                print(f" {block.start:016x} size: {block.pages * 4096:x} (Allocated) {tag_text(block.tag)}")
                count += 1
    print(f"{count} blocks")
