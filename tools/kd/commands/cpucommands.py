"""!irql, !pcr, !prcb, !running, !ready, !dpcs, !timer, !ipi: each CPU and its queues."""

import gdb

from kd.commands.threadcommands import owner_label, say_stack, show_thread
from kd.model.waits import complaint, constant, place, thread_at, threads, time_of, waiters_of
from kd.target.command import KdError, command
from kd.target.expression import evaluate
from kd.target.memory import address_of, offset_of, structure, value_of, walk_list
from kd.target.processors import current_number, irql_name, is_dead, processor, processors
from kd.target.symbols import symbol

PRIORITIES = 32
LOCK_WAIT, LOCK_OWNER = 1, 2            # KSPIN_LOCK_QUEUE.Lock
NEVER = (1 << 64) - 1
UNITS_PER_SECOND = 10000000
IPI_CALL = 1


def chosen(arguments):
    """The CPU that a command is about: its argument's, or the current one."""
    return processor(evaluate(arguments[0]) if arguments else current_number())


def chosen_all(arguments):
    """The CPU that is named, or all."""
    return [chosen(arguments)] if arguments else processors()


# ---- One CPU ----

@command("!irql", "[CPU]", "the IRQL of a CPU when the machine stopped")
def irql(arguments):
    """The level before the bugcheck, or the freeze that it caused, raised it. On a machine that has not died the level
    at which the debugger stopped it, where the CPU's CR8 can be read."""
    cpu = chosen(arguments)
    if cpu.irql is None:
        why = "it did not answer the freeze" if is_dead() else "this file does not hold CR8"
        raise KdError(f"the IRQL of processor 0x{cpu.number:x} is not known: {why}")
    print(f"Debugger saved IRQL for processor 0x{cpu.number:x} -- {cpu.irql} ({irql_name(cpu.irql)})")


def level_text(cpu):
    return "unknown" if cpu.irql is None else f"{cpu.irql}"


def queued_dpcs(cpu):
    """(KDPC, "Normal" or "Threaded") of what waits in a CPU's two queues."""
    for queue, kind in (("DpcData", "Normal"), ("ThreadedDpcData", "Threaded")):
        head = cpu.prcb + offset_of("KPRCB", f"{queue}.DpcListHead")
        for dpc in walk_list(head, "KDPC", "DpcListEntry"):
            yield dpc, kind


def dpc_text(address):
    """The routine of a KDPC, or what is wrong with it."""
    try:
        dpc = structure("KDPC", address)
        kind, routine = int(dpc["Type"]), int(dpc["DeferredRoutine"])
    except (KdError, gdb.error) as problem:
        return complaint(problem)
    if kind not in (constant("DpcObject"), constant("ThreadedDpcObject")):
        return f"not a DPC: its type is 0x{kind:x}, a DPC's is 0x{constant('DpcObject'):x}"
    return f"0x{routine:016x} {symbol(routine)}"


@command("!pcr", "[CPU]", "the processor control region: the CPU's tables, its threads, its queued DPCs")
def pcr(arguments):
    """The fields of the KPCR, which GS points to, and of the PRCB inside it. Fields of Windows that this kernel has no
    use for (NtTib, IRR, IDR, InterruptMode) are not shown; the local APIC's own registers are not in memory."""
    cpu = chosen(arguments)
    base = cpu.prcb - offset_of("KPCR", "Prcb")
    value = structure("KPCR", base)
    print(f"KPCR for Processor {cpu.number:x} at {base:016x}:")
    rows = [("SelfPcr", int(value["Self"])), ("Prcb", int(value["CurrentPrcb"])), ("Irql", cpu.irql),
            ("IDT", int(value["IdtBase"])), ("GDT", int(value["GdtBase"])), ("TSS", int(value["TssBase"])), None,
            ("CurrentThread", cpu.thread), ("NextThread", int(cpu.block["NextThread"])),
            ("IdleThread", int(cpu.block["IdleThread"]))]
    for row in rows:
        text = "" if row is None else f"{row[0]:>20}: " + ("unknown" if row[1] is None else f"{row[1]:016x}")
        print(text)
    for index, what in enumerate(("#DF", "NMI", "#MC")):
        print(f"{f'Stack for {what}':>20}: {int(value['IstStack'][index]):016x}")
    print()
    queued = list(queued_dpcs(cpu))
    for number, (dpc, kind) in enumerate(queued):
        print(f"{'DpcQueue' if number == 0 else '':>20}: 0x{dpc:016x} {dpc_text(dpc)} [{kind}]")
    if not queued:
        print(f"{'DpcQueue':>20}: (empty)")
    for problem in inconsistencies(base, value, cpu):
        print(f"kd: {problem}")


def inconsistencies(base, value, cpu):
    """The contradictions of a PCR."""
    if int(value["Self"]) != base:
        yield f"Self is {int(value['Self']):016x} and not the KPCR's own address: it was written over"
    if int(cpu.block["Number"]) != cpu.number:
        yield f"the PRCB says that it is processor {int(cpu.block['Number'])}: it was written over"


@command("!prcb", "[CPU]", "the processor control block: threads, counts of interrupts, times")
def prcb(arguments):
    """Times are clock ticks of 15.625 ms. Below WinDbg's lines: the watchdog's counts, and the spin lock that the CPU
    waits for."""
    cpu = chosen(arguments)
    block = cpu.block
    print(f"PRCB for Processor {cpu.number:x} at {cpu.prcb:016x}:")
    print(f"Current IRQL -- {level_text(cpu)}")
    print(f"Threads--  Current {cpu.thread:016x} Next {int(block['NextThread']):016x} "
          f"Idle {int(block['IdleThread']):016x}")
    print(f"Processor Index {cpu.number} Number (0, {cpu.number}) GroupSetMember {1 << cpu.number:x}")
    print(f"Interrupt Count -- {int(block['InterruptCount']):08x}")
    print(f"Times -- Dpc    {int(block['DpcTicks']):08x} Interrupt {0:08x}")
    print(f"         Kernel {int(block['KernelTicks']):08x} User      {0:08x}")
    print(f"         Idle   {int(block['IdleTicks']):08x} ({time_of(int(block['ClockTicks']))} in all)")
    print(f"Clock ticks at DISPATCH_LEVEL or above without a break: {int(block['DpcWatchdogTicks'])}, "
          f"in the routine that runs: {int(block['DpcRoutineTicks'])}")
    print(f"DpcRoutineActive {int(block['DpcRoutineActive'])} ServiceDepth {int(block['ServiceDepth'])} "
          f"IsFrozen {int(block['IsFrozen'])}")
    if int(block["SpinningOn"]):
        print(f"Spins on the lock {int(block['SpinningOn']):016x}{place(int(block['SpinningOn']))}")


# ---- All CPUs ----

def lock_letters(cpu):
    """16 letters for the numbered queued spin locks: '.' free, 'O' owned, 'W' queued."""
    letters = ""
    queues = cpu.block["LockQueue"]
    for index in range(queues.type.range()[1] + 1):
        word = int(queues[index]["Lock"])
        letters += "O" if word & LOCK_OWNER else "W" if word & LOCK_WAIT else "."
    return letters


def priority_text(address):
    try:
        return f"({thread_at(address)['Priority']:2})"
    except (KdError, gdb.error):
        return "( ?)"


def running_line(cpu):
    following, idle = int(cpu.block["NextThread"]), int(cpu.block["IdleThread"])
    next_text = f"{following:016x} {priority_text(following)}" if following else " " * 21
    return (f"{cpu.number:>3}    {cpu.prcb:016x}  {cpu.thread:016x} {priority_text(cpu.thread)} {next_text} "
            f"{idle:016x}  {lock_letters(cpu)}")


@command("!running", "[-i] [-t]", "what each CPU runs: thread, next thread, and its queued spin locks")
def running(arguments):
    """CPUs that run their idle thread are left out unless -i is given; -t shows each CPU's stack.

    The last column has a letter for each numbered queued spin lock: '.' free, 'O' owned by this CPU, 'W' it waits."""
    threads.cache_clear()
    letters = set("".join(word.lstrip("-/") for word in arguments))
    if letters - set("it"):
        raise KdError("the options are -i (idle CPUs too) and -t (with stacks)")
    print(f"System Processors:  ({value_of('KeActiveProcessors'):016x})")
    print(f"  Idle Processors:  ({value_of('KiIdleSummary'):016x})\n")
    print("       Prcbs             Current          (pri) Next             (pri) Idle")
    for cpu in processors():
        try:
            if cpu.thread == int(cpu.block["IdleThread"]) and "i" not in letters:
                continue
            print(running_line(cpu))
            if "t" in letters:
                print()
                say_stack(thread_at(cpu.thread))
                print()
        except (KdError, gdb.error) as problem:
            print(f"{cpu.number:>3}    {complaint(problem)}")


@command("!ready", "[FLAGS]", "threads that are ready for a CPU, by priority")
def ready(arguments):
    """Each CPU's queues from priority 31 down. FLAGS as for !thread: 6 shows the threads in full."""
    threads.cache_clear()
    flags = evaluate(arguments[0]) if arguments else 0
    for cpu in processors():
        found = False
        for priority in reversed(range(PRIORITIES)):
            head = cpu.prcb + offset_of("KPRCB", "ReadyListHead") + 16 * priority
            queue = list(walk_list(head, "KTHREAD", "QueueListEntry"))
            if bool(queue) != bool(int(cpu.block["ReadySummary"]) >> priority & 1):
                print(f"kd: processor {cpu.number}: ReadySummary says otherwise about priority {priority}: the machine "
                      f"stood while the queue was being changed, or memory was written over")
            if queue:
                print(f"Processor {cpu.number}: Ready Threads at priority {priority}")
            for address in queue:
                found = True
                try:
                    show_thread(thread_at(address), flags)
                except (KdError, gdb.error) as problem:
                    print(f"    {address:016x}  {complaint(problem)}")
        if not found:
            print(f"Processor {cpu.number}: No threads in READY state")


@command("!dpcs", "[CPU]", "the deferred procedure calls that are queued")
def dpcs(arguments):
    """Normal: for the CPU's next fall below DISPATCH_LEVEL. Threaded: for its thread of priority 31. A DPC that runs
    has left its queue; `!running -t` shows it as the CPU's stack."""
    print("CPU Type      KDPC       Function")
    count = 0
    for cpu in chosen_all(arguments):
        for dpc, kind in queued_dpcs(cpu):
            print(f"{cpu.number:2x}: {kind:<9}: 0x{dpc:016x} {dpc_text(dpc)}")
            count += 1
        depth = int(cpu.block["DpcData"]["DpcQueueDepth"]) + int(cpu.block["ThreadedDpcData"]["DpcQueueDepth"])
        if int(cpu.block["DpcRoutineActive"]):
            print(f"{cpu.number:2x}: a DPC runs on this CPU")
        if depth < 0:
            print(f"kd: processor {cpu.number}: the queues' depth is {depth}: it was written over")
    if not count:
        print("(no DPC is queued)")


# ---- Timers ----

def timer_owners():
    """{KTIMER: thread} of the timers that are threads' time-outs."""
    return {thread.timer: thread for thread in threads()}


def timer_target(timer, owners, address):
    """The effect of a timer's expiry: its DPC's routine, the thread whose time-out it is, or its waiters."""
    dpc = int(timer["Dpc"])
    if dpc:
        return f"{dpc_text(dpc).partition(' ')[2] or dpc_text(dpc)} (DPC @ {dpc:016x})"
    if address in owners:
        return f"thread {owners[address].label()}"
    waiting = waiters_of(address)
    return " ".join(f"thread {owner_label(waiter)}" for waiter in waiting) if waiting else "no waiter"


@command("!timer", "[ADDRESS]", "the timers that are set, in the order of their due times")
def timer(arguments):
    """Due times are interrupt times (100 ns since the start). Period in ms, 0: once. The last column: the DPC, or the
    thread whose wait has this time-out, or who waits for it. With an ADDRESS: that timer, set or not."""
    threads.cache_clear()
    now, owners = value_of("KiInterruptTime"), timer_owners()
    addresses = [evaluate(arguments[0])] if arguments else None
    print("Dump system timers\n")
    print(f"Interrupt time: {now & 0xFFFFFFFF:08x} {now >> 32:08x} [{now / UNITS_PER_SECOND:.3f} s after the start]\n")
    print("Timer             Interrupt Low/High  Due in (s)   Period  DPC/thread")
    total, last = 0, 0
    for address in addresses or walk_list(address_of("KiTimerList"), "KTIMER", "TimerListEntry"):
        total += 1
        try:
            last = say_timer(address, now, owners, last, is_listed=not addresses)
        except (KdError, gdb.error) as problem:
            print(f"{address:016x}  {complaint(problem)}")
    if not addresses:
        print(f"\nTotal Timers: {total}")
        due = value_of("KiNextTimerDue")
        print("The clock looks for: " + ("none" if due == NEVER else f"{due & 0xFFFFFFFF:08x} {due >> 32:08x}"))


def say_timer(address, now, owners, last, is_listed):
    """One line; returns the due time."""
    value = structure("KTIMER", address)
    kind = int(value["Header"]["Type"])
    if kind not in (constant("TimerNotificationObject"), constant("TimerSynchronizationObject")):
        raise KdError(f"not a timer: its header has type 0x{kind:x}")
    due = int(value["DueTime"]["QuadPart"])
    note = place(address)
    if not int(value["Header"]["Inserted"]):
        note += ", not set" if not is_listed else ", in the list but not marked as set"
    elif is_listed and due < last:
        note += ", out of order"
    print(f"{address:016x}  {due & 0xFFFFFFFF:08x} {due >> 32:08x}  {(due - now) / UNITS_PER_SECOND:>10.3f}  "
          f"{int(value['Period']):>7}  {timer_target(value, owners, address)}{note}")
    return due


# ---- Interprocessor interrupts ----

@command("!ipi", "[CPU]", "the interprocessor call that is under way, and which CPUs have not answered")
def ipi(arguments):
    """There is one packet for all: TLB shoot-downs and KeIpiGenericCall. Arriving counts the CPUs that have not taken
    the interrupt yet, Finishing those that have not run the function. A CPU with a pending request has not taken it."""
    packet = value_of("KiIpiPacket")
    arriving, finishing = int(packet["Arriving"]), int(packet["Finishing"])
    lock = value_of("KiIpiLock")
    function = int(packet["Function"])
    print(f"IPI packet at {address_of('KiIpiPacket'):016x}, lock {'held' if lock else 'free'}")
    print(f"    Function   {symbol(function) if function else '(none so far)'} ({int(packet['Context']):016x})")
    print(f"    Arriving {arriving}  Finishing {finishing}  Go {int(packet['Go'])}"
          + ("" if lock else "   (the last one; it is over)"))
    for cpu in chosen_all(arguments):
        request = int(cpu.block["IpiRequest"])
        words = "pending: it has not taken the interrupt" if request & IPI_CALL else "none pending"
        level = f", IRQL {level_text(cpu)} {irql_name(cpu.irql) if cpu.irql is not None else ''}".rstrip()
        print(f"IPI State for Processor {cpu.number:x}\n    IpiRequest {request:x} ({words}){level}")
