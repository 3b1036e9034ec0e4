"""!thread, !t, !stacks, !us, !lt, !tl: what each thread does or waits for, and its stack."""

import gdb

from kd.model.threads import source_of, stack_of
from kd.model.waits import (TICK_MS, complaint, has_timeout, held_locks, object_detail, object_kind, obstacle_of, place,
                      thread_at, thread_named, threads, time_of, wait_blocks, waiters_of)
from kd.target.command import KdError, command
from kd.target.expression import evaluate
from kd.target.memory import structure, value_of
from kd.target.processors import current_number, processor
from kd.target.symbols import symbol

WAITS, STACK = 2, 4                     # flags of !thread
# The kernel's own part of every wait: files whose functions are not what a thread waits in.
WAITING_FILES = {"switch.asm", "scheduler.c", "wait.c", "lockwait.c", "delay.c"}


# ---- What several commands say ----

def state_words(thread):
    """RUNNING on processor 0, READY on processor 2, WAIT: (Executive) KernelMode Non-Alertable"""
    if thread.is_waiting:
        mode = "UserMode" if thread["WaitMode"] else "KernelMode"
        return f"WAIT: ({thread.reason}) {mode} {'Alertable' if thread['Alertable'] else 'Non-Alertable'}"
    words = thread.state.upper()
    return words + (f" on processor {thread['Processor']:x}" if words in ("RUNNING", "STANDBY", "READY") else "")


def headline(thread):
    return f"THREAD {thread.address:016x}  Cid {thread.cid}  Teb: {0:016x} Win32Thread: {0:016x} {state_words(thread)}"


def owners_text(obstacle):
    """Who holds what a thread waits for."""
    if not obstacle.owners:
        return " - no owner is known" if obstacle.is_lock else ""
    return "".join(f" - owning thread {owner_label(owner)}" for owner in obstacle.owners)


def owner_label(address):
    """A thread as an owner, even if it is gone."""
    try:
        thread = thread_at(address)
        return thread.label() + (", which has ended" if thread.has_ended else "")
    except (KdError, gdb.error):
        return f"{address:016x} (no thread any more)"


def try_obstacle(thread):
    """The target of a thread's wait, or None; unreadable memory is one line."""
    try:
        return obstacle_of(thread)
    except (KdError, gdb.error) as problem:
        print(f"kd: what thread {thread.address:016x} waits for: {complaint(problem)}")
        return None


def frames_of(thread):
    """The frames of a thread's stack, [] and one line where they cannot be read."""
    if thread.has_ended:
        return []
    try:
        return list(stack_of(thread.address))
    except (KdError, gdb.error) as problem:
        print(f"kd: the stack of thread {thread.address:016x}: {complaint(problem)}")
        return []


def blocker(frames):
    """The place in which a thread waits: the first frame that is not the scheduler's."""
    for frame in frames:
        if frame.is_trap or source_of(frame)[0] not in WAITING_FILES:
            return frame
    return frames[0] if frames else None


def say_stack(thread, info=""):
    frames = frames_of(thread)
    if not frames:
        print("(its stack is gone: it has ended)" if thread.has_ended else "(no frame of its stack can be read)")
        return
    noted = blocker(frames) if info else None
    print(f"{'Child-SP':<16} {'RetAddr':<16} : Call Site")
    for number, frame in enumerate(frames):
        caller = frames[number + 1].rip if number + 1 < len(frames) else 0
        note = f"   <- {info}" if frame is noted else ""
        print(f"{frame.rsp:016x} {caller:016x} : {frame.symbol}{note}")


# ---- !thread ----

def say_objects(thread):
    """The objects that a thread waits on, and the lock on whose behalf."""
    for block in wait_blocks(thread):
        try:
            kind = object_kind(block.object)
            note = f", due in {due_in(thread)}" if block.is_timeout else place(block.object)
            print(f"    {block.object:016x}  {kind}{object_detail(block.object, kind)}{note}")
        except (KdError, gdb.error) as problem:
            print(f"    {block.object:016x}  {complaint(problem)}")
    if thread["BlockingLock"]:
        obstacle = try_obstacle(thread)
        if obstacle:
            print(f"    for the lock {obstacle.text()}{owners_text(obstacle)}")


def due_in(thread):
    try:
        left = int(thread.value["Timer"]["DueTime"]["QuadPart"]) - value_of("KiInterruptTime")
        return f"{left / 10000000:.3f} s"
    except (KdError, gdb.error):
        return "a time that is not known"


def ticks_text(thread):
    return "unknown" if thread.ticks is None else str(thread.ticks)


def process_line(title, address):
    name = "N/A"
    if address:
        try:
            name = structure("KPROCESS", address)["ImageFileName"].string(errors="replace")
        except (KdError, gdb.error, UnicodeError) as problem:
            name = complaint(problem)
    print(f"{title:<26}{f'{address:016x}' if address else 'N/A':<16}       Image:         {name}")


def say_details(thread):
    print("Not impersonating")
    process_line("Owning Process", thread["Process"])
    process_line("Attached Process", thread["AttachedProcess"] if thread["ApcStateIndex"] else 0)
    print(f"{'Wait Start TickCount':<26}{thread['WaitTime']:<15}Ticks: {ticks_text(thread)} ({time_of(thread.ticks)})")
    print(f"{'Context Switch Count':<26}{thread['ContextSwitches']:<15}IdealProcessor: {thread['IdealProcessor']}")
    print(f"{'UserTime':<26}{time_of(0)}")
    print(f"{'KernelTime':<26}{time_of(thread['KernelTime'])}")
    start = thread["StartRoutine"]
    print(f"Start Address {symbol(start)} ({start:016x})" if start else "Start Address none: the CPU itself began here")
    print(f"Stack Init {thread['StackBase']:016x} Current {thread['KernelStack']:016x}")
    print(f"Base {thread['StackBase']:016x} Limit {thread['StackLimit']:016x} Call {0:016x}")
    print(f"Priority {thread['Priority']} BasePriority {thread['BasePriority']} "
          f"PriorityDecrement {thread['PriorityDecrement']}")
    print(f"Name '{thread.name}' KernelApcDisable {thread['KernelApcDisable']} "
          f"SpecialApcDisable {thread['SpecialApcDisable']}")
    for lock in held_locks(thread):
        print(f"Holds the fast mutex, guarded mutex or push lock {lock:016x}{place(lock)}")


def show_thread(thread, flags):
    print(headline(thread))
    if not flags & WAITS:
        return
    say_objects(thread)
    say_details(thread)
    if flags & STACK:
        say_stack(thread)


def chosen_thread(words):
    """The thread that a command is about, taken out of its words: an address, -t NUMBER, or the current one."""
    if words[:1] == ["-t"]:
        if len(words) < 2:
            raise KdError("-t needs a thread's number, the second half of its Cid; `!stacks` lists them")
        number = evaluate(words[1])
        del words[:2]
        return thread_named(number)
    if words and words[0] != "-1":
        return thread_at(evaluate(words.pop(0)))
    del words[:1]
    return thread_at(processor(current_number()).thread)


@command("!thread", "[ADDRESS | -t NUMBER] [FLAGS]", "a thread: its state, what it waits for, times, priority, stack")
def thread_command(arguments):
    """Without an address the thread of the current CPU. -t names it by its number, the second half of Cid.

    FLAGS: 0 the headline only, 2 what it waits for and the rest of its state, 4 with 2 its stack. 6 unless told.
    A wait shows its objects, and if they belong to a lock that threads sleep on (fast mutex, guarded mutex, push lock,
    ERESOURCE), that lock with the thread that owns it."""
    threads.cache_clear()
    words = list(arguments)
    thread = chosen_thread(words)
    show_thread(thread, evaluate(words[0]) if words else WAITS | STACK)


# ---- !t ----

def table(heads, rows):
    """Columns as wide as their contents."""
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(line[i]) for line in [heads] + rows) for i in range(len(heads))]
    for line in [heads] + rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


def process_name(thread):
    address = thread["Process"]
    try:
        return f"{structure('KPROCESS', address)['ImageFileName'].string()} ({address:016x})" if address else "none"
    except (KdError, gdb.error, UnicodeError):
        return f"({address:016x})"


def waited(thread):
    """How long it has waited, as MEX says it: 1s.250."""
    if not thread.is_waiting:
        return ""
    ms = int((thread.ticks or 0) * TICK_MS)
    return "unknown" if thread.ticks is None else f"{ms // 1000}s.{ms % 1000:03}"


def say_wait_blocks(thread):
    rows = []
    for block in wait_blocks(thread):
        try:
            kind = object_kind(block.object)
            others = len([w for w in waiters_of(block.object) if w != thread.address])
            info = object_detail(block.object, kind) + place(block.object)
            info = f"due in {due_in(thread)}" if block.is_timeout else info
            rows.append((f"{block.object:016x}", kind, others, info.lstrip(" -,")))
        except (KdError, gdb.error) as problem:
            rows.append((f"{block.object:016x}", "?", "", complaint(problem)))
    if rows:
        print("\nWaitBlockList:")
        table(("    Object", "Type", "Other Waiters", "Info"), [("    " + row[0], *row[1:]) for row in rows])


def owners_in_words(obstacle):
    """"owned by A and B"; "" where no owner is known."""
    owners = " and ".join(owner_label(owner) for owner in obstacle.owners)
    return f"owned by {owners}" if owners and obstacle.kind != "Thread" else ""


@command("!t", "[ADDRESS | -t NUMBER]", "a thread with its wait reason, what blocks it, and who owns that")
def t_command(arguments):
    """As !thread, in the order of the MEX extension: the place in the stack where the thread waits says for what, and
    which thread holds that."""
    threads.cache_clear()
    thread = chosen_thread(list(arguments))
    table(("Process", "Thread", "CID", "UserTime", "KernelTime", "ContextSwitches", "Wait Reason", "Time", "State"),
          [(process_name(thread), f"{thread.address:016x}", thread.cid, "0", f"{thread['KernelTime'] * TICK_MS:.0f}ms",
            thread["ContextSwitches"], thread.reason if thread.is_waiting else "", waited(thread),
            state_words(thread))])
    if thread.has_ended:
        print("Thread is marked as terminated")
    say_wait_blocks(thread)
    obstacle = try_obstacle(thread) if thread.is_waiting or thread["BlockingLock"] else None
    owners = owners_in_words(obstacle) if obstacle else ""
    if obstacle:
        print(f"\nIt waits for {obstacle.text()}" + (f" ({obstacle.mode})" if obstacle.mode else "")
              + (f", {owners}" if owners else "") + (", with a time-out" if has_timeout(thread) else ""))
    for lock in held_locks(thread):
        print(f"It holds {lock:016x}{place(lock)}")
    print("\nPriority:")
    table(("    Current", "Base", "Decrement"),
          [(f"    {thread['Priority']}", thread["BasePriority"], thread["PriorityDecrement"])])
    print()
    say_stack(thread, owners)


# ---- !stacks, !us ----

def fits(thread, frames, pattern):
    """Whether a filter's text is in a frame or in the thread's name."""
    return any(pattern in text.lower() for text in [thread.name.lower()] + [frame.symbol.lower() for frame in frames])


def is_resting(thread):
    """A thread of the kernel's own that waits for work: what level 0 leaves out."""
    obstacle = try_obstacle(thread) if thread.is_waiting else None
    return bool(obstacle) and thread.reason in ("WrQueue", "WrTerminated")


def level_and_filter(words):
    level = 0
    if words and words[0] in ("0", "1", "2"):
        level = int(words.pop(0))
    return level, " ".join(words).lower()


@command("!stacks", "[0-2] [FILTER]", "every thread in one line: state, ticks, and the place in which it waits")
def stacks(arguments):
    """0, the default, leaves out threads of the kernel that wait for work; 1 shows all; 2 all with their whole stacks.
    With a FILTER only threads that have it in a frame or in their name."""
    threads.cache_clear()
    level, pattern = level_and_filter(list(arguments))
    print("Proc.Thread  .Thread           Ticks    ThreadState Blocker")
    shown = 0
    for thread in threads():
        if level == 0 and is_resting(thread):
            continue
        frames = frames_of(thread)
        if pattern and not fits(thread, frames, pattern):
            continue
        shown += 1
        place_ = blocker(frames)
        text = place_.symbol if place_ else "(no stack)"
        state = "Blocked" if thread.is_waiting else thread.state
        ticks = (thread.ticks or 0) if thread.is_waiting else 0
        print(f"{thread.cid:<12} {thread.address:016x}  {ticks:<8x} {state:<11} {text}")
        if level == 2:
            for frame in frames[frames.index(place_) + 1 if place_ else 0:]:
                print(f"{'':<52}{frame.symbol}")
    print(f"\nThreads Processed: {len(threads())}" + (f", shown: {shown}" if shown != len(threads()) else ""))


@command("!us", "[FILTER]", "the different stacks that there are, each with the threads that have it")
def unique_stacks(arguments):
    """Threads of which all frames are the same are counted together; the most frequent stack comes first. With a FILTER
    only stacks that have it in a frame, or in a thread's name."""
    threads.cache_clear()
    pattern = " ".join(arguments).lower()
    groups = {}
    for thread in threads():
        frames = frames_of(thread)
        if not pattern or fits(thread, frames, pattern):
            groups.setdefault(tuple(frame.rip for frame in frames), []).append((thread, frames))
    for members in sorted(groups.values(), key=len, reverse=True):
        print(f"{len(members)} thread{'s' if len(members) > 1 else ''}: "
              + " ".join(f"{thread.address:016x}" for thread, _ in members))
        for frame in members[0][1]:
            print(f"    {frame.rip:016x} {frame.symbol}")
        if not members[0][1]:
            print("    (no stack)")
        print()
    print(f"{len(groups)} unique stacks, {sum(map(len, groups.values()))} threads")


# ---- !lt, !tl ----

@command("!lt", "[-wr REASON]", "the threads in a table; with -wr only those that wait for this reason")
def list_threads(arguments):
    """REASON is a KWAIT_REASON as !thread shows it, such as WrResource; its beginning is enough."""
    threads.cache_clear()
    words = list(arguments)
    reason = None
    if words[:1] == ["-wr"]:
        if len(words) < 2:
            raise KdError("-wr needs a reason, such as Executive or WrResource")
        reason = words[1].lower()
    elif words:
        raise KdError(f"'{words[0]}': the only option is -wr REASON")
    rows = []
    for thread in threads():
        if reason is None or (thread.is_waiting and thread.reason.lower().startswith(reason)):
            rows.append((f"{thread.address:016x}", thread.cid, thread["Priority"], thread.state, waited(thread),
                         thread.reason if thread.is_waiting else "", thread.name))
    table(("Thread", "Cid", "Pri", "State", "Time", "Reason", "Name"), rows)
    print(f"{len(rows)} threads")


def counters(members):
    """MEX's counts for a process: running, ready, blocked, waiting for a lock, for a disk."""
    running = ready = blocked = locks = disk = 0
    for thread in members:
        running += thread.state in ("Running", "Standby")
        ready += thread.state == "Ready"
        blocked += thread.is_waiting
        locks += thread["BlockingLock"] != 0
        disk += thread.is_waiting and thread.reason in ("PageIn", "WrPageIn", "WrPageOut")
    return running, ready, blocked, locks, disk


@command("!tl", "", "the processes, with how many of their threads run, are ready, blocked, wait for locks or pages")
def task_list(arguments):
    """Rn running, Ry ready, Bk blocked, Lc waiting for a lock that threads sleep on, IO waiting for a page, Th all."""
    threads.cache_clear()
    processes = {}
    for thread in threads():
        processes.setdefault(thread["Process"], []).append(thread)
    rows = []
    for address, members in sorted(processes.items()):
        name, number = "(none: threads that are older than processes)", ""
        if address:
            try:
                value = structure("KPROCESS", address)
                name, number = value["ImageFileName"].string(), f"{int(value['UniqueProcessId']):x}"
            except (KdError, gdb.error, UnicodeError) as problem:
                name = complaint(problem)
        rows.append((f"{number}", f"{address:016x}", name, len(members), *counters(members)))
    table(("PID", "Address", "Name", "Th", "Rn", "Ry", "Bk", "Lc", "IO"), rows)
    print(f"{len(rows)} processes, {len(threads())} threads")
