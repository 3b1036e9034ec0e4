"""The CPUs: each one's KPRCB, its GDB thread, and its place when the machine stopped.

On a machine that has died the trap frame of the crash and those of the freeze say where each CPU was; what the CPUs do
now (report, dump, halt) is of no interest. On any other machine it is the registers.
"""

from collections import namedtuple

import gdb

from kd.target.command import KdError
from kd.target.memory import grave, is_readable, offset_of, structure, value_of

# trap_frame: the KTRAP_FRAME that it was read from, or 0; is_call: rip is where a call would have returned to
Context = namedtuple("Context", "rip rsp rbp trap_frame is_call", defaults=(False,))
IRQL_NAMES = ("PASSIVE_LEVEL", "APC_LEVEL", "DISPATCH_LEVEL") + ("DEVICE_LEVEL",) * 9 + (
    "SYNCH_LEVEL", "CLOCK_LEVEL", "IPI_LEVEL", "HIGH_LEVEL")


class Processor:
    """One CPU."""

    def __init__(self, number, prcb):
        self.number, self.prcb = number, prcb

    @property
    def block(self):
        """Its KPRCB, as a gdb.Value."""
        return structure("KPRCB", self.prcb)

    @property
    def thread(self):
        """The KTHREAD that runs on it."""
        return int(self.block["CurrentThread"])

    @property
    def is_guilty(self):
        """Whether the machine died on it."""
        return is_dead() and int(value_of("KiBug")["Processor"]) == self.number

    @property
    def is_frozen(self):
        return bool(self.block["IsFrozen"])

    @property
    def gdb_thread(self):
        """The thread that GDB knows it by, or None."""
        return gdb_threads().get(self.number)

    @property
    def irql(self):
        """Its IRQL when it stopped; None where it was not noted."""
        if self.is_guilty:
            return int(value_of("KiBug")["Irql"])
        if is_dead():
            return int(self.block["DebuggerSavedIRQL"]) if self.is_frozen else None
        return self.live_register("cr8")

    def live_register(self, name):
        """A register as GDB has it for this CPU, or None."""
        thread, previous = self.gdb_thread, gdb.selected_thread()
        if thread is None:
            return None
        frame = selected_frame()
        try:
            thread.switch()
            return int(gdb.newest_frame().read_register(name)) & (1 << 64) - 1
        except (gdb.error, ValueError):
            return None
        finally:
            previous.switch()
            if frame is not None and frame.is_valid():
                frame.select()

    @property
    def context(self):
        """Where it was: a Context."""
        frame = 0
        if self.is_guilty:
            bug = value_of("KiBug")
            frame = int(bug["Frame"])
            if not frame:
                return Context(int(bug["Rip"]), int(bug["Rsp"]), int(bug["Rbp"]), 0, True)
        elif is_dead() and self.is_frozen:
            frame = int(self.block["FreezeFrame"])
        if frame:
            return context_of_trap(frame)
        registers = [self.live_register(name) for name in ("rip", "rsp", "rbp")]
        if None in registers:
            raise KdError(f"where CPU {self.number} was is not known: it has neither a trap frame nor registers")
        return Context(*registers, 0)


def selected_frame():
    """GDB's selected frame; None where GDB cannot find it again after a stop in the middle of a switch."""
    try:
        return gdb.selected_frame()
    except gdb.error:
        return None


def context_of_trap(frame):
    """Where a KTRAP_FRAME says that a CPU was."""
    trap = structure("KTRAP_FRAME", frame)
    return Context(int(trap["Rip"]), int(trap["Rsp"]), int(trap["Rbp"]), frame)


def is_dead():
    """Whether the machine has stopped with a bugcheck."""
    try:
        return int(value_of("KiBugCheckData")[0]) != 0 and int(value_of("KiBug")["Rip"]) != 0
    except (KdError, gdb.error):
        return False


def gdb_threads():
    """{CPU number: GDB's thread}."""
    found = {}
    for thread in gdb.selected_inferior().threads():
        number = (thread.ptid[1] or thread.ptid[2]) - 1     # QEMU, its dumps and the kernel's dumps: CPU + 1
        found[number] = thread
    return found


def processors():
    """Every CPU that came up, by number."""
    limit = int(value_of("KiProcessorBlock").type.range()[1]) + 1
    found = []
    for number in range(min(value_of("KeNumberProcessors"), limit)):
        prcb = int(value_of("KiProcessorBlock")[number])
        if not prcb or not is_readable(prcb, offset_of("KPRCB", "Number") + 4):
            print(f"kd: CPU {number}: its KPRCB at {grave(prcb)} cannot be read")
            continue
        found.append(Processor(number, prcb))
    return found


def processor(number):
    """One CPU by number."""
    for found in processors():
        if found.number == number:
            return found
    raise KdError(f"there is no CPU {number}; the CPUs are 0 to {value_of('KeNumberProcessors') - 1}")


def current_number():
    """The number of the selected CPU."""
    thread = gdb.selected_thread()
    for number, other in gdb_threads().items():
        if thread is not None and other.num == thread.num:
            return number
    return 0


def guilty():
    """The CPU that the machine died on, or None."""
    return next((p for p in processors() if p.is_guilty), None)


def irql_name(level):
    """DISPATCH_LEVEL for 2."""
    if level is None:
        return "unknown"
    return IRQL_NAMES[level] if level < len(IRQL_NAMES) else "not a level"
