"""!locks and a command for each kind of lock: who holds it, and who waits.

!qlocks, !spinlock, !mutex, !fastmutex, !pushlock, !event, !semaphore, !waiters.
"""

import gdb

from kd.commands.threadcommands import due_in, owner_label
from kd.model.waits import (POINTER_FLAGS, Obstacle, complaint, constant, enumeration, has_timeout, holders_of, listed,
                      object_kind, obstacle_of, place, resource_owners, threads, wait_blocks, waiters_of)
from kd.target.command import KdError, command
from kd.target.expression import evaluate
from kd.target.memory import address_of, is_readable, offset_of, size_of, structure, try_read, u64, unreadable, walk_list
from kd.target.processors import processors
from kd.target.symbols import symbol

EXCLUSIVE = 0x80                        # ERESOURCE.Flag: ResourceOwnedExclusive
LOCK_WAIT, LOCK_OWNER = 1, 2            # KSPIN_LOCK_QUEUE.Lock
MOST_WAITERS = 4096
HELD, WAITING, WAKING, MULTIPLE, SHARE = 1, 2, 4, 8, 16     # EX_PUSH_LOCK
WAKES_FREE, WAKES_ONE, WAITER = 1, 2, 4                     # FAST_MUTEX.Count


def argument(arguments, what):
    """The address that a command cannot do without."""
    if not arguments:
        raise KdError(f"the address of {what} is missing")
    return evaluate(arguments[0])


def readable(address, name):
    """The structure at an address, all of which is there."""
    if not is_readable(address, size_of(name)):
        raise unreadable(address)
    return structure(name, address)


# ---- ERESOURCE ----

def waiting_threads(first):
    """The threads of a queue of RESOURCE_WAITERs, which lie on their stacks; one line where the chain breaks."""
    found, address = [], first
    while address and len(found) < MOST_WAITERS:
        try:
            waiter = readable(address, "RESOURCE_WAITER")
            found.append(int(waiter["Thread"]))
            address = int(waiter["Next"])
        except (KdError, gdb.error) as problem:
            print(f"kd: the waiter at {address:016x}: {complaint(problem)}")
            break
    if len(found) == MOST_WAITERS:
        print(f"kd: the queue of waiters at {first:016x} does not end")
    return found


def resource_state(value):
    if int(value["Flag"]) & EXCLUSIVE:
        return "Exclusively owned"
    return f"Shared {int(value['ActiveEntries'])} owning threads" if int(value["ActiveEntries"]) else "Available"


def resource_name(address):
    name = place(address)
    return f"{name[2:]} (0x{address:016x})" if name else f"0x{address:016x}"


def owner_text(owner, count):
    """fffffa8000002040-01<*>, the field's way to say that a thread owns it once."""
    flags = owner & POINTER_FLAGS
    text = f"{owner & ~POINTER_FLAGS:016x}-{count:02}<*>"
    return text + (" (an owner pointer, no thread)" if flags == POINTER_FLAGS else "")


def say_queue(title, members):
    if not members:
        return
    print(f"     Threads Waiting On {title} Access:")
    for member in members:
        print(f"              {owner_label(member)}")


def show_resource(address, value):
    print(f"Resource @ {resource_name(address)}    {resource_state(value)}")
    print(f"    Contention Count = {int(value['ContentionCount'])}")
    for field in ("NumberOfSharedWaiters", "NumberOfExclusiveWaiters"):
        if int(value[field]):
            print(f"    {field} = {int(value[field])}")
    owners = resource_owners(address)
    if owners:
        print("     Threads: " + "    ".join(owner_text(*owner) for owner in owners))
        for owner, _ in owners:
            if owner & POINTER_FLAGS == 0:
                print(f"              {owner_label(owner)}")
    say_queue("Exclusive", waiting_threads(int(value["ExclusiveWaiters"])))
    say_queue("Shared", waiting_threads(int(value["SharedWaiters"])))
    if len(owners) != int(value["ActiveEntries"]):
        print(f"kd: it counts {int(value['ActiveEntries'])} owners and names {len(owners)}: it was written over, or "
              f"the machine stood while it was being changed")
    print()


@command("!locks", "[-v] [ADDRESS]", "the ERESOURCEs that are held, with owners and waiters")
def locks(arguments):
    """Walks the list of all resources (ExpSystemResourcesList). -v shows those that are free too. With an ADDRESS
    that resource alone. `<*>` marks a thread that owns it; the number before it says how often."""
    threads.cache_clear()
    words = [word for word in arguments if word not in ("-v", "-V")]
    if words:
        show_resource(evaluate(words[0]), readable(evaluate(words[0]), "ERESOURCE"))
        return
    print("**** DUMP OF ALL RESOURCE OBJECTS ****\n")
    total = held = 0
    for address in walk_list(address_of("ExpSystemResourcesList"), "ERESOURCE", "SystemResourcesList"):
        total += 1
        try:
            value = readable(address, "ERESOURCE")
            is_held = int(value["ActiveEntries"]) != 0
            held += is_held
            if is_held or len(words) != len(arguments):
                show_resource(address, value)
        except (KdError, gdb.error) as problem:
            print(f"Resource @ 0x{address:016x}: {complaint(problem)}\n")
    print(f"{total} total locks, {held} locks currently held")


# ---- Numbered queued spin locks ----

def queue_places():
    """{address of a KSPIN_LOCK_QUEUE: (CPU, lock number)} of all CPUs."""
    size, places = size_of("KSPIN_LOCK_QUEUE"), {}
    for cpu in processors():
        base = cpu.prcb + offset_of("KPRCB", "LockQueue")
        for number in range(cpu.block["LockQueue"].type.range()[1] + 1):
            places[base + number * size] = (cpu, number)
    return places


def queue_order(places, number):
    """{CPU number: "O", "1", "2"... or "C"} of one lock."""
    words = {cpu.number: (queue, int(structure("KSPIN_LOCK_QUEUE", queue)["Lock"]))
             for queue, (cpu, index) in places.items() if index == number}
    letters = {cpu: "C" for cpu, (_, word) in words.items() if word & (LOCK_OWNER | LOCK_WAIT)}
    owners = [queue for queue, word in words.values() if word & LOCK_OWNER]
    if len(owners) != 1:
        return letters
    order, queue = 0, owners[0]
    while queue in places and places[queue][1] == number and order <= len(places):
        cpu = places[queue][0].number
        if letters.get(cpu) != "C":
            break                               # a loop, or one that says it does not wait
        letters[cpu] = "O" if order == 0 else str(order)
        order, queue = order + 1, int(structure("KSPIN_LOCK_QUEUE", queue)["Next"])
    return letters


@command("!qlocks", "", "the numbered queued spin locks: owner and order of waiting, by CPU")
def qlocks(arguments):
    """Rows are locks, columns CPUs. In-stack queued locks of drivers lie on stacks and are not in the matrix;
    `!spinlock` tells which lock a CPU waits for."""
    places, names = queue_places(), enumeration("_KSPIN_LOCK_QUEUE_NUMBER")
    cpus = [cpu.number for cpu in processors()]
    print("Key: O = Owner, 1-n = Wait order, blank = not owned/waiting, C = Corrupt\n")
    print(f"{'':22}Processor Number")
    print(f"    {'Lock Name':<18}" + "".join(f"{cpu:3}" for cpu in cpus))
    print()
    for number in range(constant("LockQueueMaximumLock")):
        letters = queue_order(places, number)
        name = listed(number, names).removeprefix("LockQueue")
        row = "".join(f"{letters.get(cpu, ' '):>3}" for cpu in cpus)
        print(f"    {name:<18}{row}".rstrip())


# ---- Spin locks ----

def held_spin_locks(cpu):
    """The KHELD_LOCKs of a CPU (the checked build notes them), as gdb.Values."""
    entries = cpu.block["HeldLock"]
    count = int(cpu.block["HeldLockCount"])
    if count > entries.type.range()[1] + 1:
        print(f"kd: processor {cpu.number} counts {count} held spin locks: it was written over")
        count = entries.type.range()[1] + 1
    return [entries[index] for index in range(count) if int(entries[index]["Lock"])]


def spin_holders(lock):
    """[(CPU, KHELD_LOCK)] of those who hold a spin lock."""
    return [(cpu, held) for cpu in processors() for held in held_spin_locks(cpu) if int(held["Lock"]) == lock]


def spinners(lock):
    """The numbers of the CPUs that wait for a spin lock."""
    return [cpu.number for cpu in processors() if int(cpu.block["SpinningOn"]) == lock]


def holder_text(cpu, held):
    caller = int(held["Caller"])
    return (f"held by processor {cpu.number}, {owner_label(int(held['Thread']))}, taken at IRQL {int(held['Irql'])} by "
            f"{symbol(caller - 1)}")


def say_spin_lock(lock):
    word = u64(lock)
    holders, waiting = spin_holders(lock), spinners(lock)
    state = {0: "free", 1: "held"}.get(word, "the tail of a queued lock, or never initialised")
    print(f"Spin lock {lock:016x}{place(lock)}: 0x{word:x}, {state}")
    for cpu, held in holders:
        print(f"    {holder_text(cpu, held)}")
    if word == 1 and not holders:
        print("    no holder is on record: only the checked build keeps one")
    for number in waiting:
        print(f"    processor {number} waits for it")


@command("!spinlock", "[ADDRESS]", "the spin locks that each CPU holds or waits for; with an address, who has that one")
def spinlock(arguments):
    """The lock word does not say who holds it: the checked build keeps a list for each CPU (KPRCB.HeldLock), and every
    build notes which lock a CPU waits for (KPRCB.SpinningOn)."""
    if arguments:
        say_spin_lock(evaluate(arguments[0]))
        return
    any_lock = False
    for cpu in processors():
        for held in held_spin_locks(cpu):
            any_lock = True
            lock = int(held["Lock"])
            print(f"{lock:016x}{place(lock)}: {holder_text(cpu, held)}")
        lock = int(cpu.block["SpinningOn"])
        if lock:
            any_lock = True
            word = int(cpu.block["SpinningWord"])
            print(f"{lock:016x}{place(lock)}: processor {cpu.number} waits for it; it found 0x{word:x}")
    if not any_lock:
        print("No CPU is known to hold a spin lock (the checked build notes that), and none waits for one")


# ---- Dispatcher objects ----

def say_waiters(address, note=""):
    """The threads on an object's list, with how far each wait is satisfied."""
    waiting = waiters_of(address)
    print(f"    Waiters: {len(waiting)}{note}")
    for member in waiting:
        print(f"        {owner_label(member)}")


def show_object(address, wanted, noun):
    """One dispatcher object of one of the wanted kinds."""
    header = readable(address, "DISPATCHER_HEADER")
    kind = object_kind(address)
    if kind not in wanted:
        raise KdError(f"{address:016x} is no {noun}: its header says {kind}")
    state = int(header["SignalState"])
    print(f"{kind} {address:016x}{place(address)}")
    print(f"    SignalState: {state} ({state_text(kind, state)})")
    return kind


def state_text(kind, state):
    if kind == "Mutant":
        return "free" if state == 1 else f"owned, acquired {1 - state} times"
    if kind == "Semaphore":
        return f"{state} left"
    return "signalled" if state > 0 else "not signalled"


@command("!mutex", "ADDRESS", "a KMUTEX (or a fast mutex): its owner and who waits for it")
def mutex(arguments):
    """SignalState 1: free; 0: owned; -1 and less: acquired again by its owner. A FAST_MUTEX or KGUARDED_MUTEX at the
    address is shown as such."""
    threads.cache_clear()
    address = argument(arguments, "a mutex")
    if is_fast_mutex(address):
        show_fast_mutex(address)
        return
    show_object(address, ("Mutant",), "mutex")
    value = readable(address, "KMUTANT")
    owner = int(value["OwnerThread"])
    print(f"    Owner: {owner_label(owner) if owner else 'none'}")
    print(f"    ApcDisable: {int(value['ApcDisable'])} ({'KMUTEX' if int(value['ApcDisable']) else 'mutant'})  "
          f"Abandoned: {int(value['Abandoned'])}")
    say_waiters(address)


def is_fast_mutex(address):
    """Whether it looks like a FAST_MUTEX: an event inside where that has one, and no mutant's header."""
    event = address + offset_of("FAST_MUTEX", "Event")
    data, header = try_read(event, 1), try_read(address, 3)
    return (data is not None and header is not None and data[0] == constant("EventSynchronizationObject")
            and int(structure("KEVENT", event)["Header"]["Size"]) == size_of("KEVENT") // 4
            and (header[0] != constant("MutantObject") or header[2] != size_of("KMUTANT") // 4))


def show_fast_mutex(address):
    value = readable(address, "FAST_MUTEX")
    count, owner = int(value["Count"]), int(value["Owner"])
    print(f"Fast mutex or guarded mutex {address:016x}{place(address)}")
    state = "free" if count & WAKES_FREE else "owned"
    woken = ", one of them woken" if count & WAKES_ONE else ""
    print(f"    Count: {count} ({state}, {count // WAITER} waiting{woken})")
    print(f"    Owner: {owner_label(owner) if owner else 'none'}")
    print(f"    Contention: {int(value['Contention'])}  OldIrql: {int(value['OldIrql'])}")
    say_waiters(address + offset_of("FAST_MUTEX", "Event"))


@command("!fastmutex", "ADDRESS", "a FAST_MUTEX or KGUARDED_MUTEX: its owner and who waits for it")
def fast_mutex(arguments):
    """Count has bit 0 set while it is free, bit 1 while a woken waiter has not looked yet, and 4 for each waiter."""
    threads.cache_clear()
    address = argument(arguments, "a fast mutex")
    if not is_fast_mutex(address):
        readable(address, "FAST_MUTEX")
        raise KdError(f"{address:016x} is no fast mutex: there is no event where one has it")
    show_fast_mutex(address)


@command("!event", "ADDRESS", "a KEVENT: whether it is signalled, and who waits for it")
def event(arguments):
    """A notification event lets all threads through until it is reset, a synchronization event one thread."""
    threads.cache_clear()
    address = argument(arguments, "an event")
    show_object(address, ("NotificationEvent", "SynchronizationEvent"), "event")
    say_waiters(address)


@command("!semaphore", "ADDRESS", "a KSEMAPHORE: its count, its limit, and who waits for it")
def semaphore(arguments):
    """SignalState is the count: how many more threads it lets through."""
    threads.cache_clear()
    address = argument(arguments, "a semaphore")
    show_object(address, ("Semaphore",), "semaphore")
    print(f"    Limit: {int(readable(address, 'KSEMAPHORE')['Limit'])}")
    say_waiters(address)


# ---- Push locks ----

@command("!pushlock", "ADDRESS", "a push lock: shared or exclusive, its owners and its waiters")
def pushlock(arguments):
    """The word is 0 (free), LOCKED, or the newest waiter's block with flags. Owners are the threads that have the lock
    in their own entries; with flag 1 of the ...Ex calls there is none."""
    threads.cache_clear()
    address = argument(arguments, "a push lock")
    word = u64(address)
    print(f"Push lock {address:016x}{place(address)}: 0x{word:x} ({push_state(word)})")
    for holder in holders_of(address):
        print(f"    Owner: {owner_label(holder)}")
    say_push_waiters(word)
    for thread in threads():
        if thread["BlockingLock"] == address:
            print(f"    Waiter: {thread.label()}")


def push_state(word):
    if not word:
        return "free"
    if word & WAITING:
        return ("owned" if word & HELD else "free") + ", waited for" + (", being woken" if word & WAKING else "") + (
            ", shared by several" if word & MULTIPLE else "")
    return f"shared by {word // SHARE}" if word >= SHARE else "owned exclusively"


def say_push_waiters(word):
    """The blocks on the waiters' stacks, newest first."""
    address, count = word & ~(SHARE - 1) if word & WAITING else 0, 0
    while address and count < MOST_WAITERS:
        waiter = readable(address, "PUSH_WAITER")
        count += 1
        wish = "exclusive" if int(waiter["IsExclusive"]) else "shared"
        is_oldest = int(waiter["Last"]) == address
        shares = f", the lock is shared by {int(waiter['ShareCount'])}" if is_oldest and word & MULTIPLE else ""
        print(f"    Block {address:016x} wants it {wish}{shares}")
        address = int(waiter["Next"])
    if address:
        print("kd: the queue of waiters does not end")


# ---- All waiters ----

@command("!waiters", "[ADDRESS]", "what threads wait for, who holds it, and who waits; with an address, for that")
def waiters(arguments):
    """Grouped by object or lock. Threads that wait for any of several objects are shown by the first. Waits that end by
    themselves say when; threads of the kernel that wait for work are there too."""
    threads.cache_clear()
    groups = {}
    for thread in threads():
        for obstacle in obstacles_of(thread):
            groups.setdefault(obstacle.address, (obstacle, []))[1].append((thread, obstacle.mode))
    if arguments:
        address = evaluate(arguments[0])
        if address not in groups:
            readable(address, "DISPATCHER_HEADER")
            print(f"No thread waits for {address:016x}{place(address)}")
            return
        groups = {address: groups[address]}
    for obstacle, members in groups.values():
        say_group(obstacle, members)
    if not arguments:
        print(f"{len({thread.address for _, members in groups.values() for thread, _ in members})} threads wait for "
              f"{len(groups)} objects and locks")


def candidate(address):
    """One of several objects that a thread waits for, as an Obstacle."""
    try:
        return Obstacle(address, object_kind(address), [], False)
    except (KdError, gdb.error) as problem:
        return Obstacle(address, f"? ({complaint(problem)})", [], False)


def obstacles_of(thread):
    """The targets of a thread's wait: one, or several of which any will do."""
    if not thread.is_waiting and not thread["BlockingLock"]:
        return []
    try:
        obstacle = obstacle_of(thread)
    except (KdError, gdb.error) as problem:
        print(f"kd: what thread {thread.address:016x} waits for: {complaint(problem)}")
        obstacle = None
    if obstacle:
        return [obstacle]
    return [candidate(block.object) for block in wait_blocks(thread) if not block.is_timeout]


def say_group(obstacle, members):
    print(obstacle.text())
    for owner in obstacle.owners if obstacle.kind != "Thread" else []:
        print(f"    owned by {owner_label(owner)}")
    for thread, mode in members:
        note = (f", {thread.reason}" if thread.is_waiting else "") + (f", {mode}" if mode else "")
        note += f", time-out in {due_in(thread)}" if has_timeout(thread) else ""
        print(f"    waited for by {thread.label()}{note}")
