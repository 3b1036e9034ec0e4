"""A DPC: queued at DISPATCH_LEVEL, held back, and run in the instant in which CR8 drops."""

from steps.cpus import (MASKED, OPEN, Cpu, address_of, find_instruction, interrupts_of, read, stepping,
                        u64, value)
from steps.guide import steps_of
from steps.source import code_lines

TITLE = "A DPC, from the queue to its routine"
INTRODUCTION = ("A thread is about to raise IRQL to DISPATCH_LEVEL, to queue a DPC, and to lower IRQL again: what "
                "every interrupt service routine does in effect. We follow the one bit that makes the DPC run, in "
                "the local APIC's request register (IRR).")
LESSON = ("No code called the DPC. The APIC compares vector >> 4 with CR8 after every write of CR8, and that "
          "comparison is NT's rule `DPCs run when IRQL falls below DISPATCH_LEVEL`. It is also why code at "
          "DISPATCH_LEVEL may not wait: what would wake it, the DPC of a disk or a timer, is being held back by the "
          "very CR8 that it has raised.")
STEPS, step = steps_of()
CPU = Cpu(0)
VECTOR = 0x2F
CLOCK = 0xD1
STUB_BYTES = 16


class Place:
    """Where the lowering writes CR8, and where the code goes on after that."""
    lowering = after = 0


def begin():
    CPU.run_to(address_of("StepQueueDpc"), alone=False)
    stepping(MASKED)


def panel():
    requested, served = interrupts_of(CPU)
    stack = CPU.register("rsp")
    return code_lines(CPU), [
        ("CPU 0", {"IRQL": CPU.irql, "IF": CPU.register("eflags") >> 9 & 1,
                   "stack": "DPC" if is_dpc_stack(stack) else "thread",
                   "in": CPU.name()}),
        ("local APIC", {"requested": vectors(requested), "in service": vectors(served)}),
        ("DPC queue", {"depth": depth(), "routine has run": runs()})] + clock_row(requested)


def clock_row(requested):
    """The clock ticks on while we look; QEMU holds its interrupt back during a step, as it does every other."""
    return [("0xd1", {"is": "the clock's tick: it waits because GDB steps"})] if CLOCK in requested else []


def vectors(numbers):
    return " ".join(f"{number:#04x}" for number in sorted(numbers)) or "none"


def prcb():
    return u64(address_of("KiProcessorBlock"))


def depth():
    return value(f"((KPRCB *){prcb():#x})->DpcData.DpcQueueDepth")


def runs():
    return read(address_of("StepDpcRuns"), 4)


def is_dpc_stack(stack):
    top = value(f"((KPRCB *){prcb():#x})->DpcStack")
    return top - value("sizeof(KiBugStack)") <= stack <= top        # all special stacks have this size: 24 KiB


def pending():
    return VECTOR in interrupts_of(CPU)[0]


def stub(vector):
    return address_of("KiVectorStubs") + vector * STUB_BYTES


@step("The thread raises IRQL.",
      act="Queuing",
      ask="where does the machine keep it?",
      told="In CR8: it is 2 now, DISPATCH_LEVEL.")
def raised():
    CPU.step_until(lambda: CPU.irql == 2 and CPU.function == "StepQueueDpc", "DISPATCH_LEVEL")
    return [("IRQL", CPU.irql, 2), ("the queue's depth", depth(), 0), ("whether 0x2F is requested", pending(), False)]


@step("KeInsertQueueDpc puts the DPC at the end of this CPU's list, and is about to ask for the interrupt.",
      ask="at which IRQL does it touch the list?",
      told="At HIGH_LEVEL, 15, because an interrupt of any level may want the same list. The depth is 1 now.")
def queued():
    CPU.step_to(address_of("HalRequestSoftwareInterrupt"), 600)
    return [("the queue's depth", depth(), 1), ("IRQL", CPU.irql, 15), ("whether 0x2F is requested", pending(), False)]


@step("One write to the local APIC: an interrupt to ourselves, vector 0x2F.",
      ask="what happens at once?",
      told="Nothing but a bit in the request register, the IRR. It stays there: 0x2F >> 4 is 2, and CR8 is 15.")
def requested():
    CPU.step_until(pending, "the write to the APIC", 80)
    return [("whether 0x2F is requested", pending(), True), ("IRQL", CPU.irql, 15)]


@step("KeInsertQueueDpc lowers CR8 to what it was, 2, and returns. GDB keeps interrupts away while it "
      "steps; so this time the machine runs freely, with interrupts open, as far as KeLowerIrql.",
      act="Held back",
      ask="does the DPC run now?",
      told="No. 2 is not above 2: the APIC still holds the interrupt back.")
def held_back():
    CPU.run_to(address_of("KeLowerIrql"))
    return [("IRQL", CPU.irql, 2), ("IF", CPU.register("eflags") >> 9 & 1, 1),
            ("whether 0x2F is requested", pending(), True),
            ("how often the routine has run", runs(), 0)]


@step("KeLowerIrql runs on to its `mov cr8, rdi`.",
      ask="which level is in RDI, and what has happened to the bit?",
      told="RDI is 0. Interrupts are open (IF = 1), the bit is pending, nothing has happened.")
def about_to_lower():
    Place.lowering = find_instruction("KeLowerIrql", "^mov cr8,")
    CPU.run_to(Place.lowering)
    Place.after = Place.lowering + CPU.length()
    return [("the new level", CPU.register("rdi"), 0), ("IRQL", CPU.irql, 2),
            ("whether 0x2F is requested", pending(), True)]


@step("Now the one instruction, and from here on our steps let interrupts in.",
      act="The instant",
      ask="where will the CPU be after it?",
      told="CR8 became 0, 2 is above 0, and before the next instruction, the `ret`, the CPU took the interrupt: "
           "it is in the stub of vector 0x2F, the `ret`'s address is on the stack, and the bit has moved to the "
           "in-service register.")
def lowered():
    stepping(OPEN)
    CPU.step()
    if CPU.pc == Place.after:                   # QEMU's step ends before it looks for interrupts
        CPU.step()
    if CPU.pc != stub(VECTOR):                  # the clock came in the same instant, and goes first
        CPU.run_to(stub(VECTOR))
    stepping(MASKED)
    requested_now, served = interrupts_of(CPU)
    return [("where the CPU is", CPU.pc, stub(VECTOR)), ("IRQL", CPU.irql, 0),
            ("the RIP on the stack", u64(CPU.register("rsp")), Place.after),
            ("whether 0x2F is requested", VECTOR in requested_now, False),
            ("whether 0x2F is in service", VECTOR in served, True)]


@step("trap.asm saves the registers, raises CR8 to the vector's level and calls KiDpcInterrupt: it tells "
      "the APIC that the interrupt was taken (EOI), opens interrupts, takes the DPC off the list, and calls "
      "its routine.",
      ask="at which IRQL does the routine run, and on whose stack?",
      told="At 2, the vector's level, on the CPU's own DPC stack.")
def in_routine():
    CPU.run_to(address_of("StepDpcRoutine"))
    return [("IRQL", CPU.irql, 2), ("the queue's depth", depth(), 0),
            ("whether it is the DPC stack", is_dpc_stack(CPU.register("rsp")), True),
            ("whether 0x2F is in service", VECTOR in interrupts_of(CPU)[1], False),
            ("how often the routine has run", runs(), 0)]


@step("The routine does its work and returns; the drain finds the list empty, and trap.asm returns with "
      "iretq.",
      ask="at which instruction does the thread go on, and at which IRQL?",
      told="At the `ret` of KeLowerIrql, where the interrupt came in, at IRQL 0. The thread has noticed nothing.")
def returned():
    CPU.run_to(Place.after)
    return [("how often the routine has run", runs(), 1), ("IRQL", CPU.irql, 0), ("whether it is the DPC stack",
            is_dpc_stack(CPU.register("rsp")), False), ("whether 0x2F is requested", pending(), False)]
