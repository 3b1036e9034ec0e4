"""The machine's CPUs, seen from GDB: one is looked at, stepped alone, or run to a place.

GDB's threads are the CPUs. `set scheduler-locking on` is what lets one of them move alone; QEMU masks interrupts while
it steps unless told otherwise, so a step never ends in an unwanted handler.
"""

import re

import gdb

from kd.target.session import Limit

MASKED = 7                                      # QEMU's sstep flags: step, no interrupts, no timers
OPEN = 5                                        # interrupts are taken, timers stand still
WORD = (1 << 64) - 1


class WalkError(Exception):
    """The walk cannot go on; the text is one line for the reader."""


class MachineGone(WalkError):
    """The machine has ended, or takes too long: nothing can be said of what it would have shown."""


def quiet(command):
    """Runs a command of GDB's and returns what it would have printed; stops and switches of CPU are not announced."""
    gdb.execute("set suppress-cli-notifications on")
    try:
        return gdb.execute(command, to_string=True)
    finally:
        gdb.execute("set suppress-cli-notifications off")


def value(expression):
    """The number that a GDB expression has."""
    return int(gdb.parse_and_eval(expression)) & WORD


def address_of(name):
    """Where a function begins or a variable lies."""
    return value(f"(unsigned long long)&{name}")


def u8(address):
    return read(address, 1)


def u64(address):
    return read(address, 8)


def read(address, size):
    """A little-endian number in the machine's memory, read through the page tables of the selected CPU."""
    return int.from_bytes(gdb.selected_inferior().read_memory(address, size).tobytes(), "little")


def function_at(address):
    """The name of the function that an address lies in (an assembly label below a function counts as that function)."""
    found = re.match(r"(\S+?)(\.\S+)?( \+ \d+)? in section", quiet(f"info symbol {address:#x}"))
    return found[1] if found else f"{address:#x}"


def instructions(address, count):
    """The next instructions: a list of (address, text)."""
    found = gdb.selected_inferior().architecture().disassemble(address, count=count)
    return [(row["addr"] & WORD, re.sub(r"\s+", " ", row["asm"])) for row in found]


def instructions_of(name, count=120):
    """The instructions of a function, up to where the next one begins; what fills the gap to that is left out."""
    rows = []
    for address, text in instructions(address_of(name), count):
        if function_at(address) != name:
            break
        rows.append((address, text))
    while rows and re.match(r"(cs |data16 )*nop|xchg ax,ax", rows[-1][1]):
        rows.pop()
    return rows


def find_instruction(function, pattern):
    """The address of the first instruction of a function whose text matches."""
    for address, text in instructions_of(function):
        if re.search(pattern, text):
            return address
    raise WalkError(f"{function} has no instruction like '{pattern}': the walk was written for another kernel")


class Cpu:
    """One CPU. Each question about it selects its thread in GDB first."""
    seconds = 60                                # how long one run may take
    moved = None                                # the CPU that has executed something last

    def __init__(self, number):
        self.number = number

    def __str__(self):
        return f"CPU {self.number}"

    def select(self):
        for thread in gdb.selected_inferior().threads():
            if thread.num == self.number + 1:
                thread.switch()
                return self
        raise WalkError(f"there is no {self}: the machine has ended, or has fewer CPUs")

    def register(self, name):
        self.select()
        return value(f"${name}")

    @property
    def pc(self):
        return self.register("rip")

    @property
    def irql(self):
        return self.register("cr8")

    @property
    def function(self):
        return function_at(self.pc)

    @property
    def instruction(self):
        """The text of the instruction that is about to be executed."""
        return instructions(self.pc, 1)[0][1]

    def length(self):
        """The bytes of the instruction that is about to be executed."""
        return instructions(self.pc, 2)[1][0] - self.pc

    def step(self, count=1):
        """Executes so many instructions on this CPU alone."""
        self.select()
        self.go(f"stepi {count}")

    def step_until(self, condition, what, count=300):
        """Steps until the condition holds; calls count with what they contain."""
        for _ in range(count):
            if condition():
                return
            self.step()
        raise WalkError(f"{self} did not come to {what} within {count} instructions; it is at {self.where()}")

    def step_to(self, address, count=300):
        self.step_until(lambda: self.pc == address, function_at(address), count)

    def run_to(self, address, alone=True):
        """Runs until this CPU is about to execute the instruction at the address, with interrupts taken on the way."""
        self.select()
        quiet(f"set scheduler-locking {'on' if alone else 'off'}")
        name = function_at(address)
        before = {point.number for point in gdb.breakpoints() or ()}
        quiet(f"thbreak *{address:#x}")
        try:
            self.go("continue")
        finally:
            for point in gdb.breakpoints() or ():
                if point.number not in before:
                    point.delete()
            quiet("set scheduler-locking on")
        at = value("$rip")
        if at != address:
            raise WalkError(f"{selected()} stopped in {function_at(at)} before it came to {name}")

    def go(self, command):
        """A command of GDB's that makes this CPU run; WalkError when it runs for too long or has gone."""
        Cpu.moved = self
        try:
            with Limit(self.seconds) as limit:
                quiet(command)
        except gdb.error as problem:
            raise MachineGone(f"the machine has ended or does not answer ({problem})") from None
        except KeyboardInterrupt:
            if not limit.is_over:
                raise
        if limit.is_over:
            raise MachineGone(f"the machine did not come to the next stop within {self.seconds} s; " +
                            "; ".join(whereabouts()))

    def frame(self):
        """GDB's frame of the function as the C source has it, one that the compiler has put into its caller too, but no header's."""
        self.select()
        frame = gdb.newest_frame()
        while frame.type() == gdb.INLINE_FRAME and frame.find_sal().symtab.filename.endswith(".h"):
            frame = frame.older()
        return frame

    def name(self):
        return self.frame().name() or self.function

    def where(self):
        return f"{self.function} ({self.instruction})"


def selected():
    """The CPU that GDB looks at."""
    return Cpu(gdb.selected_thread().num - 1)


def whereabouts():
    """For each CPU, where it is."""
    return [f"{cpu} is in {cpu.function}" for cpu in map(Cpu, range(len(gdb.selected_inferior().threads())))]


def stepping(flags):
    """Tells QEMU whether steps take interrupts."""
    quiet(f"maintenance packet Qqemu.sstep={flags:#x}")


def interrupts_of(cpu):
    """The local APIC's contents: ({vectors requested}, {vectors in service})."""
    text = quiet(f"monitor info lapic {cpu.number}")
    sets = []
    for name in ("IRR", "ISR"):
        found = re.search(rf"^{name}\s+(.*)$", text, re.MULTILINE)
        if not found:
            raise WalkError("QEMU does not show the local APIC (monitor info lapic)")
        sets.append({int(number) for number in re.findall(r"\b\d+\b", found[1])})
    return tuple(sets)
