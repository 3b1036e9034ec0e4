"""A store to a paged-out page at DISPATCH_LEVEL: page tables, trap, IRQL test, bugcheck."""

from steps import store
from steps.cpus import MASKED, WORD, address_of, stepping, u64
from steps.guide import steps_of
from steps.source import code_lines, line_at
from steps.store import CPU, LEVELS, TEST, Store, entry_address, frame_of, is_transition, slot_of, trap_frame

TITLE = "The page fault at DISPATCH_LEVEL, from the store to the bugcheck"
INTRODUCTION = ("secret.sys has taken its spin lock, so IRQL is 2. The next instruction writes to its structure in "
                "paged pool, whose page the trimmer has sent to the page file. First we look at what the CPU will "
                "look at: four tables.")
LESSON = ("Nothing in the handler looked for the page: the IRQL test comes first, because at IRQL 2 no code may "
          "wait for the disk. The same store at IRQL 0 takes the other branch of that one instruction, sleeps, and "
          "succeeds: tools/bugcheck run passive. The cure is not in the handler but in the driver: memory that is "
          "touched under a spin lock comes from NonPagedPoolNx.")
STEPS, step = steps_of()
FOLDER = None                                   # where the drivers' symbols are


class Fault:
    """The facts of this fault: filled in as the walk goes on."""
    frame = 0                                   # the KTRAP_FRAME's address
    looked_up = 0                               # levels of the tables that were shown
    is_taken = False                            # the CPU has left the store for the handler
    bugcheck = None                             # a function: (code, P1, P2, P3, P4) as they stand now


def begin():
    store.begin(FOLDER)
    stepping(MASKED)


def panel():
    rows = [("CPU 0", {"IRQL": CPU.irql, "IF": CPU.register("eflags") >> 9 & 1, "in": CPU.name()}),
            store.row()]
    return code_lines(CPU), rows + table_rows() + trap_rows()


def table_rows():
    """The entries that were looked up; once the fault is there, only the last one matters."""
    return [store.entry_row(level) for level in range(3 if Fault.is_taken else 0, Fault.looked_up)]


def trap_rows():
    """The words that the CPU has pushed, then the whole frame, then the bugcheck's arguments."""
    if Fault.frame:
        frame = trap_frame(Fault.frame)
        rows = [("trap frame", {"at": f"{Fault.frame:016X}", "vector": int(frame["Vector"]),
                                "error code": int(frame["ErrorCode"]),
                                "address": f"{int(frame['FaultAddress']) & WORD:016X}",
                                "IRQL before": int(frame["PreviousIrql"])})]
    elif Fault.is_taken:
        stack = CPU.register("rsp")
        rows = [("pushed", {"error code": u64(stack), "RIP": f"{u64(stack + 8):016X}",
                "RSP": f"{u64(stack + 32):016X}"}),
                ("CR2", {"is": f"{CPU.register('cr2'):016X}"})]
    else:
        rows = []
    if Fault.bugcheck:
        code, *numbers = Fault.bugcheck()
        rows.append(("bugcheck", {"code": f"{code:#X}".replace("X", "x"),
                                  **{f"P{number}": f"{seen:X}" for number, seen in enumerate(numbers, 1)}}))
    return rows


def look_up(level):
    Fault.looked_up = level + 1
    return store.entry_of(level)


def table_promises(level):
    entry = look_up(level)
    return [(f"V of the {LEVELS[level]}", entry & 1, 1)]


@step("The CPU cuts the address into four numbers of 9 bits and an offset of 12. Bits 39-47 choose the "
      "entry of the top table, to which CR3 points: the PXE.",
      act="The page tables",
      ask="is its V bit set, and where does the walk go on?",
      told="V is 1: it goes on in the table that lies in that frame.")
def walk_pxe():
    root = frame_of(u64(entry_address(entry_address(0, 0), 0) & ~0xFFF | store.SELF_MAP << 3))
    return table_promises(0) + [("the frame of the top table", root, CPU.register("cr3") >> 12 & (1 << 40) - 1)]


@step("Bits 30-38 choose the entry of the second table: the PPE.",
      ask="and this one?",
      told="V is 1 again.")
def walk_ppe():
    return table_promises(1)


@step("Bits 21-29 choose the entry of the third: the PDE.",
      ask="the page is in the page file: may its PDE be valid?",
      told="V is 1: the table of PTEs is there. Only the page is not.")
def walk_pde():
    return table_promises(2)


@step("Bits 12-20 choose the entry of the last: the PTE.",
      ask="what is in an entry whose page is on a disk?",
      told="V is 0. For the CPU the walk is over, it looks at no other bit. The memory manager has kept a note "
           "for itself in the rest: the slot of the page file where the page's content is.")
def walk_pte():
    entry = look_up(3)
    return [("V of the PTE", entry & 1, 0), ("the PTE's transition bit", is_transition(entry), False),
            ("whether it names a page file slot", slot_of(entry) != 0, True)]


@step("The CPU executes the store, or rather begins to.",
      act="The trap",
      ask="what does it push, where does RIP on the stack point, and has anything been written?",
      told="It found V = 0, put the address into CR2, pushed SS, RSP, RFLAGS, CS, RIP and an error code, cleared "
           "IF, and went to the stub of vector 14. The store has not happened; RIP on the stack points at it.")
def the_store():
    CPU.step()
    Fault.is_taken = True
    stack = CPU.register("rsp")
    return [("CR2", CPU.register("cr2"), Store.address), ("the RIP on the stack", u64(stack + 8), Store.instruction),
            ("the error code (bit 0: protection, bit 1: write)", u64(stack), 2),
            ("IF", CPU.register("eflags") >> 9 & 1, 0),
            ("where the CPU is", CPU.pc, address_of("KiVectorStubs") + 14 * 16), ("IRQL", CPU.irql, 2)]


@step("trap.asm pushes the vector, all registers, CR2 and CR8 below that, and calls KiTrap with the frame's "
      "address.",
      ask="which two of these does the page-fault handler need to decide?",
      told="The address and the IRQL. The whole is the KTRAP_FRAME; interrupts are open again, as they were.")
def the_frame():
    CPU.step_to(address_of("KiTrap"))
    Fault.frame = CPU.register("rdi")
    frame = trap_frame(Fault.frame)
    return [("the vector", int(frame["Vector"]), 14), ("the error code", int(frame["ErrorCode"]), 2),
            ("the fault address", int(frame["FaultAddress"]) & WORD, Store.address),
            ("RIP", int(frame["Rip"]) & WORD, Store.instruction),
            ("the IRQL before", int(frame["PreviousIrql"]), 2), ("IF", CPU.register("eflags") >> 9 & 1, 1)]


@step("KiTrap sees vector 14 and calls the memory manager, MmAccessFault, which asks its first question.",
      act="The question",
      ask="what does it ask for?",
      told="For the IRQL in the frame: is it above APC_LEVEL, 1? Look at the instruction that asks it.")
def the_test():
    CPU.step_to(address_of("MmAccessFault"))
    CPU.step_until(lambda: TEST in line_at(CPU.pc)[2] and CPU.instruction.startswith("cmp"), "the test of the IRQL")
    return [("the number that the test reads", int(trap_frame(Fault.frame)["PreviousIrql"]), 2)]


@step("The jump that follows, and the call behind it.",
      ask="is it taken?",
      told="2 is above 1: it is, and the branch that knows how to read a page is not.")
def the_jump():
    CPU.step_until(lambda: CPU.name() != "MmAccessFault", "the function that it calls")
    return [("the branch", CPU.name(), "FaultAtRaisedIrql")]


@step("The branch gives the page one more chance (another CPU may have made it valid meanwhile), and refuses. No fix-up "
      "knows the instruction, and MmStopForFault calls KiBugCheckFromTrap, the trap handler's KeBugCheckEx.",
      act="The end",
      ask="with which code, and which four parameters?",
      told="V is 0 still. The code is 0xA, and the parameters are what you have seen: address, IRQL, kind of "
           "access, RIP.")
def the_bugcheck():
    CPU.step_to(address_of("KiBugCheckFromTrap"))
    handed = tuple(CPU.register(name) for name in ("edi", "rsi", "rdx", "rcx", "r8"))
    Fault.bugcheck = lambda: handed
    return parameters(0xA)


def parameters(code):
    names = ("the code", "P1, the address", "P2, the IRQL", "P3, 1 for a write", "P4, the RIP")
    return list(zip(names, Fault.bugcheck(), (code, Store.address, 2, 1, Store.instruction)))


@step("KiBugCheckFromTrap looks where RIP lies, and the report begins.",
      ask="which code will the blue screen show, and at which IRQL is it drawn?",
      told="RIP lies in secret.sys and not in the kernel, so 0xA became 0xD1, DRIVER_IRQL_NOT_LESS_OR_EQUAL. CR8 "
           "is 15. KiBugCheckData holds what the blue screen will say.")
def the_report():
    CPU.run_to(address_of("KiReportOnSerial"))
    data = address_of("KiBugCheckData")
    Fault.bugcheck = lambda: tuple(u64(data + 8 * number) for number in range(5))
    return parameters(0xD1) + [("IRQL", CPU.irql, 15)]
