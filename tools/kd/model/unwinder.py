"""GDB's unwinder where DWARF is silent: code that is not there, and threads that wait.

A chosen thread or trap frame (.thread, .trap) has no CPU whose registers GDB could show: its first frame is made the
caller of frame 0, which a frame filter then hides. Nothing of the machine is changed, so that it works on a dump too.
"""

import gdb
import gdb.unwinder
from gdb.FrameDecorator import FrameDecorator

from build.callframes import NAMES, RBP, RBX, RIP, RSP
from kd.model.threads import saved_context
from kd.target import modules, scope
from kd.target.command import KdError
from kd.target.memory import MASK, structure, try_read, type_named, unreadable
from kd.target.symbols import is_kernel_address, raw_symbol

KEPT = (RBX, RBP, 12, 13, 14, 15)           # registers that a function gives back as it found them
CALL, CALL_BYTES = b"\xE8", 5
TOLD_BY_THEMSELVES = (b"\x55", b"\xC3", b"\x48\x89\xE5")     # instructions that drivercfi.asm knows


class FrameId:
    """A frame's name: the stack pointer of its caller, and its function."""

    def __init__(self, sp, pc):
        self.sp, self.pc = sp, pc


def word(address):
    data = try_read(address & MASK, 8)
    if data is None:
        raise unreadable(address)
    return int.from_bytes(data, "little")


class KernelUnwinder(gdb.unwinder.Unwinder):
    """Finds the caller of a frame where GDB would not."""

    def __init__(self):
        super().__init__("kd")

    def __call__(self, pending):
        try:
            pc = int(pending.read_register("rip")) & MASK
            if pending.level() == 0 and scope.context() is not None:
                return self.into_scope(pending, pc)
            if not is_kernel_address(pc) and pc >= 0x1000:
                return None                 # before paging
            module = module_with(pc)
            if module is None:
                return self.from_nowhere(pending, pc) if modules.current else None
            return self.from_driver(pending, pc, module) if module.name != "nt" else None
        except (KdError, gdb.error, ValueError, TypeError):
            return None

    def value(self, pending, number, register="rip"):
        """A number as the value of a register."""
        kind = pending.read_register(register).type
        return gdb.Value((number & MASK).to_bytes(8, "little")[:kind.sizeof], kind)

    def made(self, pending, sp, pc, registers):
        info = pending.create_unwind_info(FrameId(self.value(pending, sp, "rsp"), self.value(pending, pc)))
        for name, number in registers.items():
            info.add_saved_register(name, self.value(pending, number, name))
        return info

    def into_scope(self, pending, pc):
        """The chosen context as the caller of the CPU's own frames; GDB wants callees to lie below their callers."""
        registers = scope.context().registers
        return self.made(pending, registers["rsp"] - 8, pc, registers)

    def from_nowhere(self, pending, pc):
        """An address where no code is was called: the caller's address is on top of the stack."""
        sp = int(pending.read_register("rsp")) & MASK
        caller = word(sp)
        if module_with(caller) is None:
            return None
        return self.made(pending, sp + 8, pc, {"rip": caller, "rsp": sp + 8, "rbp": int(pending.read_register("rbp"))})

    def from_driver(self, pending, pc, module):
        """An instruction of a driver that has no frame, by its call frame information. Elsewhere GDB's own way is better,
        because it knows where variables are; but it takes the table in kernel/dump/drivercfi.asm."""
        address = pc - 1 if pending.level() > 0 and try_read(pc - CALL_BYTES, 1) == CALL else pc
        row = module.row_at(address)
        if row is None or row.cfa is None or row.cfa[0] != RSP or (try_read(pc, 3) or b"").startswith(TOLD_BY_THEMSELVES):
            return None
        start = int(pending.read_register("rsp")) + row.cfa[1] & MASK
        info = pending.create_unwind_info(FrameId(self.value(pending, start, "rsp"),
                                                  self.value(pending, module.function_at(address).start)))
        for number in (*KEPT, RIP):
            kind, *where = row.registers.get(number, ("same",))
            if kind == "at":
                info.add_saved_register(NAMES[number], self.value(pending, word(start + where[0]), NAMES[number]))
            elif kind == "same" and not pending.read_register(NAMES[number]).is_optimized_out:
                info.add_saved_register(NAMES[number], pending.read_register(NAMES[number]))
        info.add_saved_register("rsp", self.value(pending, start, "rsp"))
        return info


def module_with(address):
    """The module that an address lies in, as far as modules are known by now; None."""
    return next((module for module in modules.current if module.start <= address < module.end), None)


class Named(FrameDecorator):
    """A frame with the name of the assembly that GDB takes for a signal's handler, or of what is gone."""

    def function(self):
        frame = self.inferior_frame()
        is_assembly = frame.type() == gdb.SIGTRAMP_FRAME or frame.function() is None
        found = raw_symbol(frame.pc() - 1) if is_assembly else None
        return found[0] if found else super().function() or "??"

    def line(self):
        frame = self.inferior_frame()
        return gdb.find_pc_line(frame.pc() - 1).line if frame.type() == gdb.SIGTRAMP_FRAME else super().line()


class Filter:
    """A frame filter: frame 0 of a chosen context belongs to the CPU's own work, and is not shown; nor is the
    address 0 to which the outermost function of a thread would return."""

    name, priority, enabled = "kd", 1000, True

    def filter(self, frames):
        hidden = 0 if scope.context() is not None else -1
        for frame in frames:
            inferior = frame.inferior_frame()
            if inferior.level() != hidden and inferior.pc() != 0:
                yield Named(frame) if inferior.type() in (gdb.SIGTRAMP_FRAME, gdb.NORMAL_FRAME) else frame


def install():
    """Makes GDB use both. While it unwinds, nothing may ask GDB for the value of an expression: that would want a frame.
    So what the unwinder has to know of the kernel is looked up here."""
    type_named("KTRAP_FRAME")
    gdb.unwinder.register_unwinder(None, KernelUnwinder(), replace=True)
    gdb.frame_filters[Filter.name] = Filter()


def saved_registers(thread):
    """{register: number} of a thread that does not run: what switch.asm left on its stack."""
    rip, rsp, rbp = saved_context(thread)
    names = ("r15", "r14", "r13", "r12", "rbx")
    top = int(structure("KTHREAD", thread)["KernelStack"])
    registers = {name: word(top + 8 * index) for index, name in enumerate(names)}
    return registers | {"rbp": rbp, "rip": rip, "rsp": rsp}

