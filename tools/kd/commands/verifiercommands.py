"""!verifier and !deadlock: what Driver Verifier has counted, and who waits in a circle.

!deadlock tells two things: the circle of lock orders that stopped the machine (0xC4 with 0x1001; no thread has to wait for
that), and circles of threads that wait for each other now.
"""

import string

import gdb

from kd.commands.lockcommands import LOCK_OWNER, spin_holders
from kd.commands.threadcommands import frames_of, owner_label
from kd.model.threads import described
from kd.model.waits import Obstacle, circles, complaint, constant, enumeration, listed, place, thread_at, threads, waits_for
from kd.target.command import KdError, command
from kd.target.expression import evaluate
from kd.target.memory import address_of, is_readable, offset_of, size_of, structure, text_at, unreadable, value_of
from kd.target.processors import processors

# Driver Verifier's own bits and words; the kernel has the first column's in VfOptions.
OPTIONS = ((0x1, "Special pool"), (0x2, "Force IRQL checking"), (0x8, "Pool tracking"), (0x10, "I/O verification"),
           (0x20, "Deadlock detection"), (0x80, "DMA checking"), (0x100, "Security checks"),
           (0x800, "Miscellaneous checks"), (0x20000, "DDI compliance checking"))
MORE_OPTIONS = ((0x4, "Randomized low resources simulation"), (0x200, "Force pending I/O requests"),
                (0x400, "IRP logging"))
DEADLOCK_OPTION = 0x20
BUILT = 0x83F                           # the others check nothing here
MOST_BLOCKS = 10000
MOST_SHOWN_BLOCKS = 64


def frames_text(stack):
    """The lines of a kept stack: an array of return addresses that ends with NULL."""
    low, high = stack.type.range()
    lines = []
    for index in range(low, high + 1):
        if not int(stack[index]):
            break
        lines.append(f"        {described(int(stack[index]), 0, 0, False).symbol}")
    return lines


# ---- !verifier ----

def say_options(mask):
    print(f"Verify Flags Level 0x{mask:08x}\n")
    for title, rows in (("STANDARD FLAGS", OPTIONS), ("ADDITIONAL FLAGS", MORE_OPTIONS)):
        print(f"  {title}:")
        for bit, name in rows:
            note = "" if bit & BUILT else " (not built)"
            print(f"    [{'X' if mask & bit else ' '}] (0x{bit:08x}) {name}{note}")
        print()


def say_summary():
    numbers = value_of("VfStatistics")
    print("Summary of All Verifier Statistics\n")
    for field, title in (("RaiseIrqls", "RaiseIrqls"), ("AcquireSpinLocks", "AcquireSpinLocks"),
                         ("SynchExecutions", "Synch Executions"), ("Trims", "Trims")):
        print(f"  {title:<20} 0x{int(numbers[field]):x}")
    print()
    for field, title in (("AllocationsAttempted", "Attempted"), ("AllocationsSucceeded", "Succeeded"),
                         ("AllocationsSucceededSpecialPool", "Succeeded SpecialPool"), ("AllocationsFailed", "Failed"),
                         ("AllocationsFailedDeliberately", "Failed Deliberately")):
        print(f"  Pool Allocations {title:<22} 0x{int(numbers[field]):x}")
    print()
    for when in ("Current", "Peak"):
        for kind, name in (("Paged", "paged"), ("NonPaged", "nonpaged")):
            count, size = int(numbers[f"{when}{kind}Allocations"]), int(numbers[f"{when}{kind}Bytes"])
            print(f"  {when} {name} pool allocations".ljust(41) + f"0x{count:x} for {size:08x} bytes")
    print(f"\n  Locks watched for deadlocks 0x{int(numbers['DeadlockNodes']):x}, orders "
          f"0x{int(numbers['DeadlockEdges']):x}, found no room 0x{int(numbers['DeadlockDropped']):x}")


def tracked_blocks():
    """The VF_BLOCKs of all verified drivers, as gdb.Values; one line where a chain breaks."""
    buckets = gdb.parse_and_eval("'verifiertrack.c'::Bucket")
    seen = set()
    for index in range(buckets.type.range()[1] + 1):
        address = int(buckets[index])
        while address:
            if address in seen or len(seen) >= MOST_BLOCKS:
                print(f"kd: the chain of tracked blocks in bucket {index} does not end")
                break
            seen.add(address)
            if not is_readable(address, size_of("VF_BLOCK")):
                print(f"kd: the tracked block {address:016x}: {unreadable(address)}")
                break
            block = structure("VF_BLOCK", address)
            yield block
            address = int(block["Next"])


def module_name(block):
    module = int(block["Module"])
    try:
        return text_at(module + offset_of("KLDR_DATA_TABLE_ENTRY", "Name")) if module else "?"
    except (KdError, gdb.error):
        return f"{module:016x}"


def say_drivers(wanted):
    """Per driver: what it has of the pool."""
    counts = {}
    for block in tracked_blocks():
        entry = counts.setdefault(module_name(block), [0, 0, 0, 0])
        at = 0 if int(block["IsPaged"]) else 2
        entry[at] += 1
        entry[at + 1] += int(block["Bytes"])
    print("\nDriver            Paged allocations  Bytes       Nonpaged  Bytes")
    for name, (paged, paged_bytes, resident, resident_bytes) in sorted(counts.items()):
        if not wanted or wanted == name.lower():
            print(f"{name:<17} {paged:<18} {paged_bytes:<11} {resident:<9} {resident_bytes}")
    if not counts:
        print("(no verified driver has pool that is tracked)")


def tag_text(tag):
    return "".join(chr(tag >> shift & 0x7F) if 0x20 <= tag >> shift & 0x7F < 0x7F else "." for shift in (0, 8, 16, 24))


def say_blocks(wanted):
    """Each outstanding allocation, with where it was made."""
    print("\nAddress           Size      Tag   Driver")
    shown = left = 0
    for block in tracked_blocks():
        name = module_name(block)
        if wanted and wanted != name.lower():
            continue
        if shown == MOST_SHOWN_BLOCKS:
            left += 1
            continue
        shown += 1
        kind = "paged" if int(block["IsPaged"]) else "nonpaged"
        print(f"{int(block['Start']):016x}  {int(block['Bytes']):08x}  {tag_text(int(block['Tag']))}  {name} ({kind}), "
              f"allocated at")
        print("\n".join(frames_text(block["Stack"])))
    print(f"{shown} allocations" + (f" shown, {left} more" if left else ""))


@command("!verifier", "[FLAGS [DRIVER]]", "Driver Verifier: its options and its counts")
def verifier(arguments):
    """FLAGS: 1 what each verified driver has of the pool, 2 each outstanding allocation with the stack that made it; a
    DRIVER's name limits both. Logs of IRQL changes and of freed blocks (8, 0x80, 0x200) are not kept: `!trace` shows
    IRQL changes, and a bugcheck in special pool says where its block was freed."""
    flags = evaluate(arguments[0]) if arguments else 0
    wanted = arguments[1].lower().removesuffix(".sys") if len(arguments) > 1 else None
    mask = value_of("VfOptions")
    say_options(mask)
    if not mask:
        print("No driver is verified: boot with the option verifier")
        return
    say_summary()
    if flags & 1:
        say_drivers(wanted)
    if flags & 2:
        say_blocks(wanted)
    if flags & ~3:
        print(f"\nkd: flags 0x{flags & ~3:x}: such a log is not kept")


# ---- !deadlock ----

class Names:
    """Letters for locks and numbers for owners, in the order in which they come."""

    def __init__(self):
        self.locks, self.owners = {}, {}

    def lock(self, address, kind):
        letters = string.ascii_uppercase
        index = self.locks.setdefault(address, (len(self.locks), kind))[0]
        return letters[index] if index < len(letters) else f"{letters[index % len(letters)]}{index // len(letters)}"

    def owner(self, address):
        return self.owners.setdefault(address, len(self.owners))

    def say(self):
        print("\nWhere:\n")
        for address, number in self.owners.items():
            print(f"Thread {number} = {owner_of_edge(address)}")
        for address, (_, kind) in self.locks.items():
            print(f"Lock {self.lock(address, kind)} =   {address:016x}{place(address)} Type '{kind}'")


def owner_of_edge(owner):
    """A thread; with bit 0 the CPU whose DPC it was."""
    if not owner & 1:
        return owner_label(owner)
    try:
        return f"a DPC on processor {int(structure('KPRCB', owner & ~1)['Number'])} ({owner & ~1:016x})"
    except (KdError, gdb.error):
        return f"a DPC ({owner & ~1:016x})"


def lock_kind(node):
    return listed(int(node["Kind"]), enumeration("_VF_LOCK_KIND")).removeprefix("Vf")


def say_recorded(state, with_stacks):
    """The circle of lock orders that the verifier has found."""
    names, rows = Names(), []
    for index in range(min(int(state["PathLength"]), state["Path"].type.range()[1] + 1)):
        edge = state["Path"][index].dereference()
        first, second = edge["From"].dereference(), edge["To"].dereference()
        rows.append((names.owner(int(edge["Owner"])), names.lock(int(first["Lock"]), lock_kind(first)),
                     names.lock(int(second["Lock"]), lock_kind(second)), edge))
    print(f"Deadlock detected ({len(names.locks)} resources in {len(names.owners)} threads):\n")
    print("No thread has to wait yet: these orders of acquiring can stop all that take part.\n")
    for number, first, second, edge in rows:
        print(f"Thread {number}: {first} {second}")
        if with_stacks:
            print("\n".join([f"    took {first} at"] + frames_text(edge["FromStack"])
                            + [f"    then wanted {second} at"] + frames_text(edge["ToStack"])))
    names.say()
    if not with_stacks:
        print("\n`!deadlock 1` shows where each lock was taken")


def say_found(with_stacks):
    """Prints the verifier's findings; returns whether there are any."""
    try:
        state = value_of("VfDeadlock")
        if int(state["Rule"]) == 0x1001 and int(state["PathLength"]):
            say_recorded(state, with_stacks)
        elif int(state["Rule"]):
            say_violation(state)
        return int(state["Rule"]) != 0
    except (KdError, gdb.error) as problem:
        print(f"kd: what the verifier has found: {complaint(problem)}")
        return False


def is_watching():
    """Whether the verifier looks for deadlocks; None where that is not known."""
    try:
        return bool(value_of("VfOptions") & DEADLOCK_OPTION)
    except (KdError, gdb.error):
        return None


def rule_text(rule):
    """The kernel's own text on a rule of the verifier."""
    rows = gdb.parse_and_eval("'bugtable.c'::Subcodes")
    for index in range(rows.type.range()[1] + 1):
        if int(rows[index]["Code"]) == 0xC4 and int(rows[index]["Value"]) == rule:
            return rows[index]["Name"].string()
    return "a rule without a text"


def say_violation(state):
    """Another rule about locks that was broken."""
    print(f"Lock rule 0x{int(state['Rule']):x} was broken: {rule_text(int(state['Rule']))}")
    if int(state["Node"]):
        node = state["Node"].dereference()
        lock = int(node["Lock"])
        print(f"Lock =   {lock:016x}{place(lock)} Type '{lock_kind(node)}'")
    if int(state["Hold"]):
        hold = state["Hold"].dereference()
        print(f"Owner =  {owner_of_edge(int(hold['Owner']))}, which took it {int(hold['Count'])} times, first at")
        print("\n".join(frames_text(hold["Stack"])))


def queued_lock_owners(lock):
    """The threads of the CPUs that own a numbered queued spin lock: its entry in the PRCB says so in every build."""
    number, rest = divmod(lock - address_of("QueuedLocks"), 8)
    if rest or not 0 <= number < constant("LockQueueMaximumLock"):
        return []
    return [cpu.thread for cpu in processors() if int(cpu.block["LockQueue"][number]["Lock"]) & LOCK_OWNER]


def spinning():
    """({thread: Obstacle} of the CPUs that wait for a spin lock, [(CPU, lock)] of those whose holder is not known)."""
    found, unknown = {}, []
    for cpu in processors():
        lock = int(cpu.block["SpinningOn"])
        if not lock:
            continue
        owners = [int(held["Thread"]) for _, held in spin_holders(lock)] or queued_lock_owners(lock)
        if owners:
            found[cpu.thread] = Obstacle(lock, "SpinLock", owners, True)
        else:
            unknown.append((cpu, lock))
    return found, unknown


def say_circle(circle, obstacles, with_stacks):
    """Threads that wait for each other: each holds a lock and wants the next one's."""
    names = Names()
    for address in circle:
        names.owner(address)
    count = len({obstacles[address].address for address in circle})
    print(f"Deadlock detected ({count} resources in {len(circle)} threads), and all of them wait:\n")
    held = obstacles[circle[-1]]
    for address in circle:
        wanted = obstacles[address]
        has = names.lock(held.address, held.kind)
        print(f"Thread {names.owner(address)}: {has} {names.lock(wanted.address, wanted.kind)}")
        held = wanted
    names.say()
    for address in circle if with_stacks else []:
        print(f"\nThread {names.owner(address)}:")
        for frame in frames_of(thread_at(address)):
            print(f"        {frame.symbol}")


@command("!deadlock", "[1]", "circles of locks and threads: what the verifier has found, and who waits for whom now")
def deadlock(arguments):
    """"Thread 0: A B": thread 0 has lock A and takes, or waits for, lock B. 1 adds where the locks were acquired, or
    where the threads wait. A thread's end that another waits for counts as a lock that it has."""
    threads.cache_clear()
    with_stacks = bool(arguments) and evaluate(arguments[0]) & 1 == 1
    found = say_found(with_stacks)
    obstacles, unknown = spinning()
    obstacles.update(waits_for(threads()))
    for circle in circles(obstacles):
        if found:
            print()
        found = True
        try:
            say_circle(circle, obstacles, with_stacks)
        except (KdError, gdb.error) as problem:
            print(f"kd: {complaint(problem)}")
    for cpu, lock in unknown:
        print(f"Processor {cpu.number} waits for the spin lock {lock:016x}{place(lock)}; "
              f"who holds it is not noted: only the checked build does that")
    if not found:
        watched = {True: "", False: " (its deadlock detection is off)", None: " that is known"}[is_watching()]
        print("No deadlock is known: no threads wait for each other in a circle, and the verifier has found none"
              f"{watched}")
