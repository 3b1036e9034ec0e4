"""A store to a paged-out page at PASSIVE_LEVEL: fault, read, wait, and the store again."""

from kd.model.threads import name_of, state_name
from steps import store
from steps.cpus import MASKED, WORD, WalkError, address_of, stepping, u64, value
from steps.guide import steps_of
from steps.source import code_lines, line_at
from steps.store import CPU, PTE, TEST, Store, frame_of, is_transition, slot_of, trap_frame

TITLE = "The page fault at PASSIVE_LEVEL, from the store to the same store again"
INTRODUCTION = ("passive.sys writes to its structure in paged pool, as secret.sys does, but holds no lock: IRQL is 0. "
                "The trimmer has sent the page to the page file. The CPU will go the same way into the handler as at "
                "DISPATCH_LEVEL (`step pagefault` looks at the four tables and at the trap); here we follow the other branch.")
LESSON = ("Between the two tries of one instruction a disk was read and another thread ran; the driver has seen none of it. "
          "All that is what IRQL 2 forbids: the thread waited, which needs the scheduler, and what ended its wait was a DPC, "
          "which CR8 = 2 would have held back. So at DISPATCH_LEVEL the first question has to be the last one: "
          "tools/bugcheck step pagefault.")
STEPS, step = steps_of()
FOLDER = None                                   # where the drivers' symbols are
COMPLETE = "'pagein.c'::CompleteRead"           # other files have one of that name
DISPATCHED_WITHIN = 3000                        # instructions
RUNNING, WAITING = "Running", "Waiting"
PENDING = 0x103                                 # STATUS_PENDING
SECTORS_PER_PAGE = 8


class Fault:
    """The facts of this fault: filled in as the walk goes on."""
    thread = frame = request = back = 0         # KTHREAD, KTRAP_FRAME, BLOCK_REQUEST; where the wait returns to
    slot = page = 0                             # of the page file; the frame that was taken for the page


def begin():
    store.begin(FOLDER)
    stepping(MASKED)
    Fault.thread = current_thread()
    Fault.slot = slot_of(store.entry_of(PTE))


def current_thread():
    return value(f"((KPRCB *){u64(address_of('KiProcessorBlock')):#x})->CurrentThread")


def thread_state():
    return state_name(value(f"((KTHREAD *){Fault.thread:#x})->State"))


def status():
    return value(f"((BLOCK_REQUEST *){Fault.request:#x})->Status") & 0xFFFFFFFF


def is_signalled():
    return value(f"((MI_INPAGE *)((BLOCK_REQUEST *){Fault.request:#x})->Context)->Event.Header.SignalState")


def panel():
    rows = [("CPU 0", {"IRQL": CPU.irql, "runs": repr(name_of(current_thread())), "in": CPU.name()}),
            ("our thread", {"is": repr(name_of(Fault.thread)), "state": thread_state()}),
            store.row(), store.entry_row(PTE)]
    if store.entry_of(PTE) & 1:
        rows.append(("the page", {"Number": u64(Store.address)}))
    if Fault.request:
        rows.append(("the read", {"slot": f"{Fault.slot:#x}", "into frame": f"{Fault.page:#x}", "status": f"{status():#x}",
                                  "event": is_signalled()}))
    return code_lines(CPU), rows


@step("The CPU begins to execute the store.",
      act="The fault",
      ask="does it look at CR8 before it gives up?",
      told="No: to the CPU IRQL says nothing about memory. It found V = 0, put the address into CR2, pushed RIP, which is "
           "still the store's, and went to the stub of vector 14, as it does at any IRQL.")
def the_store():
    CPU.step()
    return [("CR2", CPU.register("cr2"), Store.address), ("the RIP on the stack", u64(CPU.register("rsp") + 8), Store.instruction),
            ("IRQL", CPU.irql, 0), ("where the CPU is", CPU.pc, address_of("KiVectorStubs") + 14 * 16)]


@step("trap.asm builds the KTRAP_FRAME; KiTrap calls MmAccessFault, which asks its first question.",
      act="The question",
      ask="which number does it find in the frame?",
      told="0: PASSIVE_LEVEL, the IRQL at which the store was tried.")
def the_question():
    CPU.step_to(address_of("KiTrap"))
    Fault.frame = CPU.register("rdi")
    CPU.step_to(address_of("MmAccessFault"))
    CPU.step_until(lambda: TEST in line_at(CPU.pc)[2] and CPU.instruction.startswith("cmp"), "the test of the IRQL")
    frame = trap_frame(Fault.frame)
    return [("the IRQL before", int(frame["PreviousIrql"]), 0), ("the fault address", int(frame["FaultAddress"]) & WORD, Store.address)]


@step("0 is not above 1, so the handler may look for the page. It classifies by reading alone: the address is no user's, the "
      "tables above the PTE are there, the PTE is not empty, the region is pageable, interrupts were open. Then "
      "MiResolveFault.",
      ask="what has been changed so far, and under which lock?",
      told="Nothing, under none. Each other answer on the way would have been a bugcheck: 0x50 for an address where nothing is.")
def the_class():
    CPU.step_to(address_of("MiResolveFault"), 600)
    return [("the address", CPU.register("rsi"), Store.address),
            ("the PTE's address", CPU.register("rdx"), store.entry_address(Store.address, PTE)), ("IRQL", CPU.irql, 0),
            ("V of the PTE", store.entry_of(PTE) & 1, 0), ("the slot in the PTE", slot_of(store.entry_of(PTE)), Fault.slot)]


@step("MiResolveFault raises IRQL to APC_LEVEL, takes the lock of the page frames for a moment, sees a slot in the PTE "
      "(a hard fault), takes a free frame, and goes to start the read.",
      act="The read",
      ask="the lock is released before the read: how does a CPU that touches the same page now know that it is on its way?",
      told="By the PTE: still V = 0, but in transition, and it names the frame, in whose PFN entry the read is. Such a CPU joins "
           "the read; it starts none of its own.")
def the_frame():
    CPU.run_to(address_of("MiStartTransfer"))
    Fault.request, slot, Fault.page, writes = (CPU.register(name) for name in ("rdi", "esi", "rdx", "cl"))
    entry = store.entry_of(PTE)
    return [("IRQL", CPU.irql, 1), ("V of the PTE", entry & 1, 0), ("whether the PTE is in transition", is_transition(entry), True),
            ("the frame in the PTE", frame_of(entry), Fault.page), ("the slot to read", slot, Fault.slot),
            ("whether it is a write", writes, 0)]


@step("MiStartTransfer fills in the request and hands it to the disk's driver; then the thread goes to wait.",
      ask="eight sectors make a page: which one does the request begin with, and is the page there when Submit returns?",
      told="With eight times the slot. It is not there: STATUS_PENDING, 0x103. The disk will answer by an interrupt or, as this "
           "repeatable one does, at the clock's; until then the thread has nothing to do.")
def the_wait():
    CPU.run_to(address_of("KeWaitForSingleObject"))
    Fault.back = u64(CPU.register("rsp"))
    request = f"((BLOCK_REQUEST *){Fault.request:#x})"
    return [("the request's sector", value(f"{request}->Sector"), Fault.slot * SECTORS_PER_PAGE),
            ("its address in memory", value(f"{request}->PhysicalAddress"), Fault.page << 12), ("its status", status(), PENDING),
            ("the event that is waited for", CPU.register("rdi"), value(f"&((MI_INPAGE *){request}->Context)->Event")),
            ("whether it is signalled", is_signalled(), 0), ("our thread", thread_state(), RUNNING)]


@step("The wait finds the event not signalled. It puts the thread on the event's list, and the scheduler chooses another: "
      "KiSwapContext(ours, the other).",
      act="The wait",
      ask="at which IRQL does it choose, and could it do that for code that came at that IRQL?",
      told="At 2, under the dispatcher lock. Code that came at 2 has raised CR8 so that no thread can take its CPU away: to wait "
           "there would be to give it away.")
def another():
    CPU.run_to(address_of("KiSwapContext"))
    if CPU.register("rdi") != Fault.thread:
        raise WalkError("another thread than ours has gone to wait: the walk was written for another kernel")
    return [("our thread", thread_state(), WAITING), ("IRQL", CPU.irql, 2),
            ("whether the other thread is another", CPU.register("rsi") != Fault.thread, True)]


@step("One `mov rsp` later the other thread runs (`step switch` goes through it). The machine runs on until the read is done: "
      "CompleteRead, which the disk's driver calls.",
      ask="who runs it, at which IRQL, and where is the page then?",
      told="A DPC does, at 2, on top of whichever thread has the CPU: not ours, which waits. The request's status is 0, so the frame "
           "holds the page's content. The PTE does not know it yet.")
def the_dpc():
    CPU.run_to(value(f"(unsigned long long)&{COMPLETE}"))
    return [("the request", CPU.register("rdi"), Fault.request), ("its status", status(), 0), ("IRQL", CPU.irql, 2),
            ("whether our thread has the CPU", current_thread() == Fault.thread, False), ("our thread", thread_state(), WAITING),
            ("whether the PTE is in transition", is_transition(store.entry_of(PTE)), True)]


@step("CompleteRead sets the event and returns; the machine runs on, until our thread comes back from its wait.",
      ask="what does setting the event do to our thread?",
      told="It takes it off the event's list and makes it ready; when the DPC is over, the scheduler gives it the CPU. It goes on "
           "at APC_LEVEL, behind its call.")
def awake():
    for _ in range(8):                          # another thread may come back from a page-in of its own
        CPU.run_to(Fault.back)
        if current_thread() == Fault.thread:
            break
    return [("whether our thread has the CPU", current_thread() == Fault.thread, True), ("our thread", thread_state(), RUNNING),
            ("IRQL", CPU.irql, 1), ("whether the event is signalled", is_signalled(), 1), ("V of the PTE", store.entry_of(PTE) & 1, 0)]


@step("It takes the lock of the page frames once more, and writes one word.",
      act="The page",
      ask="which word, and which bits of it does the handler set, which not?",
      told="The PTE: V = 1 with the frame, W for the right to write, A for accessed. D stays 0: the page has not changed since "
           "it was read, and until it does, trimming it again costs no write.")
def the_page():
    CPU.step_until(lambda: store.entry_of(PTE) & 1, "the valid PTE", DISPATCHED_WITHIN)
    entry = store.entry_of(PTE)
    return [("the frame in the PTE", frame_of(entry), Fault.page), ("W", entry >> 1 & 1, 1), ("D", entry >> 6 & 1, 0),
            ("IRQL", CPU.irql, 2)]


@step("MiResolveFault lowers IRQL to 0, MmAccessFault returns STATUS_SUCCESS, trap.asm restores every register: `iretq`.",
      act="The store again",
      ask="to which instruction, and what does the page hold?",
      told="To the store, whose RIP the CPU had pushed. The page holds what it held when it was taken away.")
def back():
    CPU.run_to(Store.instruction)
    Fault.request = 0                           # it may serve another fault now
    return [("IRQL", CPU.irql, 0), ("whether the page holds the new number", u64(Store.address) == Store.written, False),
            ("whose the CPU is", name_of(current_thread()), name_of(Fault.thread))]


@step("The CPU executes the same instruction for the second time.",
      ask="what has changed when it is over, in the page and in the PTE?",
      told="The number, and D: the CPU itself has noted in the PTE that the page is no longer what the page file holds.")
def again():
    after = CPU.pc + CPU.length()
    CPU.step()
    return [("RIP", CPU.pc, after), ("the number", u64(Store.address), Store.written), ("D", store.entry_of(PTE) >> 6 & 1, 1)]
