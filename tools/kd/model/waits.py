"""The circle of waits in a machine that stands still: each thread, its lock, the owner.

The rules are those of kernel/judge/watch.c and ke/autoboost.c.

A thread waits on dispatcher objects (KTHREAD.WaitBlockList), perhaps on behalf of a lock that threads sleep on
(KTHREAD.BlockingLock, BlockingKind). A KMUTEX, a fast mutex and a resource name their owners; a push lock does not, but
each thread names the locks that it holds (KTHREAD.LockEntries). Nothing here trusts a pointer before it was looked at.
"""

import functools

import gdb

from kd.model.threads import all_threads
from kd.target.command import KdError, first_line, memory_complaint
from kd.target.memory import address_of, is_readable, printable, read, structure, type_named, unreadable, value_of, walk_list
from kd.target.processors import processors
from kd.target.symbols import symbol

POINTER_FLAGS = 3           # the two lowest bits of an ERESOURCE's owner that is no thread
MOST_WAIT_BLOCKS = 65       # MAXIMUM_WAIT_OBJECTS and the time-out
MOST_OWNERS = 4096          # of one resource: more is a table that was written over
TICK_MS = 15.625

OBJECT_KINDS = (("EventNotificationObject", "NotificationEvent"),
                ("EventSynchronizationObject", "SynchronizationEvent"),
                ("MutantObject", "Mutant"), ("ProcessObject", "ProcessObject"), ("QueueObject", "QueueObject"),
                ("SemaphoreObject", "Semaphore"), ("ThreadObject", "Thread"),
                ("TimerNotificationObject", "NotificationTimer"),
                ("TimerSynchronizationObject", "SynchronizationTimer"))

LOCK_KINDS = {"LockFastMutex": ("FastMutex", ""), "LockGuardedMutex": ("GuardedMutex", ""),
              "LockResourceShared": ("Resource", "shared"), "LockResourceExclusive": ("Resource", "exclusive"),
              "LockPushShared": ("PushLock", "shared"), "LockPushExclusive": ("PushLock", "exclusive"),
              "LockRundown": ("RundownProtection", "")}


def complaint(problem):
    """One line for what a list goes on after."""
    return memory_complaint(problem) if isinstance(problem, gdb.MemoryError) else first_line(problem)


@functools.cache
def enumeration(name):
    """{value: name} of an enumeration of the kernel's."""
    return {field.enumval: field.name for field in type_named(name).fields()}


@functools.cache
def constant(name):
    """The value of an enumerator."""
    return int(gdb.parse_and_eval(f"(int){name}"))


@functools.cache
def object_kinds():
    return {constant(name): kind for name, kind in OBJECT_KINDS}


def listed(number, names):
    """The name of a number, or the number where it has none: the memory was written over."""
    return names.get(number, f"0x{number:x} (no such value)")


# ---- Threads ----

class Thread:
    """One KTHREAD that has been found to be one."""

    def __init__(self, address):
        self.address, self.value = address, structure("KTHREAD", address)

    def __getitem__(self, field):
        return int(self.value[field])

    @property
    def state(self):
        return listed(self["State"], enumeration("_KTHREAD_STATE"))

    @property
    def is_waiting(self):
        return self["State"] == constant("Waiting")

    @property
    def has_ended(self):
        return self["State"] == constant("Terminated")

    @property
    def reason(self):
        return listed(self["WaitReason"], enumeration("_KWAIT_REASON"))

    @property
    def name(self):
        field = self.value["Name"]
        return printable(read(int(field.address), field.type.sizeof).split(b"\0")[0].decode("latin-1"))

    @property
    def cid(self):
        """Process and thread, as WinDbg prints them: 0004.001c; zeros for the threads that have no number."""
        try:
            client = structure("ETHREAD", self.address)["Cid"]
            return f"{int(client['UniqueProcess']):04x}.{int(client['UniqueThread']):04x}"
        except (KdError, gdb.error):
            return "????.????"

    @property
    def timer(self):
        return int(self.value["Timer"].address)

    @property
    def ticks(self):
        """Clock ticks since its last wait began; None where a small dump does not hold the time."""
        try:
            return max(0, value_of("KiTickCount") - self["WaitTime"])
        except (KdError, gdb.error):
            return None

    def label(self):
        return f"{self.address:016x} ({self.name or symbol(self['StartRoutine'])})"


def thread_at(address):
    """The thread at an address; KdError where there is none, or one that was written over."""
    if not is_readable(address, type_named("KTHREAD").sizeof):
        raise unreadable(address)
    thread = Thread(address)
    kind = int(thread.value["Header"]["Type"])
    if kind != constant("ThreadObject"):
        raise KdError(f"{address:016x} is not a thread: its header has type 0x{kind:x}, a thread's is "
                      f"0x{constant('ThreadObject'):x}; `!stacks` lists the threads")
    return thread


@functools.cache
def threads():
    """All threads that there are, ended ones whose objects still exist too; one line for each that cannot be read.

    Read once for a command that asks again and again: each command starts with threads.cache_clear().
    """
    seen = {}
    found = list(all_threads()) + list(walk_list(address_of("KiThreadObjects"), "KTHREAD", "ObjectListEntry"))
    if not found:
        print("kd: the list of threads is not there: only those that run on a CPU are known")
    for address in found or [cpu.thread for cpu in processors()]:
        if address in seen:
            continue
        seen[address] = None
        try:
            seen[address] = thread_at(address)
        except (KdError, gdb.error) as problem:
            print(f"kd: thread {address:016x} is left out: {complaint(problem)}")
    return [thread for thread in seen.values() if thread]


def thread_named(number):
    """The thread with this number, the second half of its Cid."""
    for thread in threads():
        if thread.cid.endswith(f".{number:04x}"):
            return thread
    raise KdError(f"no thread has the number {number:x}; `!stacks` lists them")


def time_of(ticks):
    """hours:minutes:seconds.milliseconds of clock ticks."""
    if ticks is None:
        return "unknown"
    ms = int(ticks * TICK_MS)
    return f"{ms // 3600000:02}:{ms // 60000 % 60:02}:{ms // 1000 % 60:02}.{ms % 1000:03}"


# ---- Objects ----

def object_kind(address):
    """WinDbg's name of a dispatcher object's kind, from its header; KdError where it is none."""
    number = int(structure("DISPATCHER_HEADER", address)["Type"])
    if number not in object_kinds():
        raise KdError(f"{address:016x} is not an object to wait for: its header has type 0x{number:x}")
    return object_kinds()[number]


def object_detail(address, kind):
    """The end of a wait block's line, behind the kind: the owner of a mutex, the limit of a semaphore."""
    if kind == "Mutant":
        owner = int(structure("KMUTANT", address)["OwnerThread"])
        return f" - owning thread {owner:016x}" if owner else " - not owned"
    if kind == "Semaphore":
        return f" Limit 0x{int(structure('KSEMAPHORE', address)['Limit']):x}"
    return ""


def place(address):
    """", module!name" where an address has one, else nothing."""
    text = symbol(address)
    return "" if text.startswith("0x") or "!" not in text else f", {text}"


def waiters_of(address):
    """The threads that wait on a dispatcher object, in the order of their arrival."""
    head = structure("DISPATCHER_HEADER", address)["WaitListHead"].address
    if int(head.dereference()["Flink"]) == 0 and int(head.dereference()["Blink"]) == 0:
        return []                               # an object that was never initialised, or static zeros
    return [int(structure("KWAIT_BLOCK", block)["Thread"]) for block in
            walk_list(int(head), "KWAIT_BLOCK", "WaitListEntry")]


# ---- Waits ----

class Block:
    """One object of a thread's wait."""

    def __init__(self, value, timer):
        self.object, self.is_any = int(value["Object"]), int(value["WaitType"]) == constant("WaitAny")
        self.is_timeout = self.object == timer


def wait_blocks(thread):
    """The blocks of the wait that a thread is in; one line and an end where the ring is broken."""
    first = address = thread["WaitBlockList"]
    blocks = []
    while address and len(blocks) < MOST_WAIT_BLOCKS:
        try:
            value = structure("KWAIT_BLOCK", address)
            if int(value["Thread"]) != thread.address:
                print(f"kd: wait block {address:016x} names thread {int(value['Thread']):016x} instead of "
                      f"{thread.address:016x}: the rest of the wait is left out")
                return blocks
            blocks.append(Block(value, thread.timer))
            address = int(value["NextWaitBlock"])
        except (KdError, gdb.error) as problem:
            print(f"kd: wait block {address:016x} of thread {thread.address:016x}: {complaint(problem)}")
            return blocks
        if address == first:
            return blocks
    if address:
        print(f"kd: the wait blocks of thread {thread.address:016x} do not end in a ring")
    return blocks


class Obstacle:
    """The target of a thread's wait: a lock or a dispatcher object, and the threads that hold it."""

    def __init__(self, address, kind, owners, is_lock, mode=""):
        self.address, self.kind, self.owners, self.is_lock = address, kind, owners, is_lock
        self.mode = mode                    # "shared", "exclusive": how the thread wants it

    def text(self):
        return f"{self.kind} {self.address:016x}{place(self.address)}"


def resource_owners(address):
    """[(owner, count)] of an ERESOURCE: the entry in it, then its table."""
    resource = structure("ERESOURCE", address)
    owners = [(int(resource["OwnerEntry"]["OwnerThread"]), int(resource["OwnerEntry"]["OwnerCount"]))]
    table = int(resource["OwnerTable"])
    if table:
        entries = resource["OwnerTable"]
        size = int(entries[0]["TableSize"])
        if size > MOST_OWNERS:
            raise KdError(f"the owner table {table:016x} of resource {address:016x} says that it has {size} entries")
        owners += [(int(entries[i]["OwnerThread"]), int(entries[i]["OwnerCount"])) for i in range(1, size)]
    return [(owner, count) for owner, count in owners if owner]


def holders_of(lock):
    """The threads that have a lock in their own entries (AutoBoost's)."""
    return [thread.address for thread in threads() if lock in held_locks(thread)]


def held_locks(thread):
    """The fast mutexes, guarded mutexes and push locks that a thread holds."""
    entries = thread.value["LockEntries"]
    low, high = entries.type.range()
    return [int(entries[i]["Lock"]) for i in range(low, high + 1) if int(entries[i]["Lock"])]


def lock_owners(lock, kind):
    """The threads that hold a lock that threads sleep on, as far as it or they tell."""
    if kind in ("LockFastMutex", "LockGuardedMutex"):
        owner = int(structure("FAST_MUTEX", lock)["Owner"])
        return [owner] if owner else []
    if kind in ("LockResourceShared", "LockResourceExclusive"):
        return [owner & ~POINTER_FLAGS for owner, _ in resource_owners(lock)]
    if kind in ("LockPushShared", "LockPushExclusive"):
        return holders_of(lock)
    return []


def obstacle_of(thread):
    """The one target of a thread's wait; None where it does not wait, or any of several will do."""
    lock = thread["BlockingLock"]
    if lock:
        kind = listed(thread["BlockingKind"], enumeration("_KLOCK_KIND"))
        name, mode = LOCK_KINDS.get(kind, (kind, ""))
        return Obstacle(lock, name, lock_owners(lock, kind), True, mode)
    blocks = wait_blocks(thread) if thread.is_waiting else []
    objects = [block for block in blocks if not block.is_timeout]
    if len(objects) != 1 and not (objects and not objects[0].is_any):
        return None
    address = objects[0].object
    kind = object_kind(address)
    owners = []
    if kind == "Mutant":
        owners = [owner for owner in [int(structure("KMUTANT", address)["OwnerThread"])] if owner]
    elif kind == "Thread":
        owners = [address]
    return Obstacle(address, kind, owners, False)


def has_timeout(thread):
    """Whether the wait ends by itself. A lock's never does, although its thread looks up now and then."""
    return not thread["BlockingLock"] and int(thread.value["Timer"]["Header"]["Inserted"]) != 0


# ---- Circles ----

def waits_for(everyone):
    """{thread address: Obstacle} of the threads that wait without a limit for something that is held."""
    obstacles = {}
    for thread in everyone:
        if not (thread.is_waiting or thread["BlockingLock"]) or has_timeout(thread):
            continue
        try:
            obstacle = obstacle_of(thread)
        except (KdError, gdb.error) as problem:
            print(f"kd: thread {thread.address:016x}: {complaint(problem)}")
            continue
        if obstacle and obstacle.owners:
            obstacles[thread.address] = obstacle
    return obstacles


def circles(obstacles):
    """Each circle of threads that wait for each other, as the list of addresses in the order of waiting, once."""
    found, finished = [], set()
    for start in obstacles:
        path, stack = [], [(start, 0)]
        while stack:
            address, depth = stack.pop()
            del path[depth:]
            if address in path:
                circle = path[path.index(address):]
                if set(circle) not in [set(other) for other in found]:
                    found.append(circle)
                continue
            if address in finished or address not in obstacles:
                continue
            path.append(address)
            stack += [(owner, depth + 1) for owner in obstacles[address].owners]
        finished.add(start)
    return found
