"""The debugger's commands about CPUs, threads and locks, against what the machines said of themselves on COM1.

tests/kd/everything.c makes one of everything that waits or is queued, prints where each is, and stops the machine. Its
crash is looked at in the kernel's dump, and in one that was written over on purpose; the others are a small dump,
QEMU's own, and a live machine.
"""

import fcntl
import json
import re
import shutil
import struct
import subprocess
from collections import namedtuple
from pathlib import Path

import pytest

from build import driverbuild
from cli.driver import SEEDED_SHIFT
from conftest import ensure_built
from host.paths import OUT, TOP
from kdhelp import MACHINE_LIMIT, dump, kd, run_kd, serial_of, shared_folder                  # noqa: F401
from machine.dumpdisk import keep_dump
from machine.emulators import Machine
from machine.process import Run, hang_report

KERNEL = OUT / "checked" / "kernel.elf"
LEVELS = ("PASSIVE_LEVEL", "APC_LEVEL", "DISPATCH_LEVEL", *["DEVICE_LEVEL"] * 9, "SYNCH_LEVEL", "CLOCK_LEVEL", "IPI_LEVEL",
          "HIGH_LEVEL")
TICK = 0.015625
Crash = namedtuple("Crash", "folder serial verdict at")     # at: {name: address} that the driver printed


# ---- Machines ----

def judged_machine(source, folder, words, **settings):
    """A machine that is to load one driver."""
    ensure_built("checked")
    driverbuild.make_kernel("checked")
    modules = driverbuild.build([Path(source)], "checked", folder)
    archive = driverbuild.make_archive(folder / "boot.cpio", OUT / "checked" / "boot.cpio", modules)
    settings = {"cpus": 4, "mem": 64, "seed": 1, "shift": SEEDED_SHIFT, "leave": False, **settings}
    return Machine(cmdline=" ".join([f"driver={modules[0].name}", *words]), archive=archive, **settings)


def run_driver(source, folder, *words, **settings):
    """Runs a driver into its end; leaves verdict.json and crash.elf, by QEMU where the kernel was not to write one."""
    with Run(judged_machine(source, folder, words, **settings), folder) as run:
        outcome = run.wait(MACHINE_LIMIT)
        if outcome.verdict is None:
            pytest.fail("\n".join(hang_report(run, MACHINE_LIMIT)), pytrace=False)
        if not run.machine.dump:
            run.qmp("dump-guest-memory", paging=True, protocol=f"file:{folder}/crash.elf")
    if run.machine.dump:
        assert keep_dump(folder), "the kernel has written no dump"
    (folder / "verdict.json").write_text(json.dumps(outcome.verdict))


def once(factory, name, make):
    """A folder that one worker fills and all use."""
    folder = shared_folder(factory) / f"kd-cpus-{name}"
    folder.mkdir(exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "made").exists():
            make(folder)
            (folder / "made").write_text("")
    serial = (folder / "serial.log").read_text("utf-8", "replace").replace("\r", "")
    at = {who: int(place, 16) for who, place in re.findall(r"^kd: (\w+) ([0-9A-F]{16})$", serial, re.M)}
    return Crash(folder, serial, json.loads((folder / "verdict.json").read_text()), at)


@pytest.fixture(scope="session")
def everything(tmp_path_factory):
    """The crash of everything.c, in the kernel's full dump."""
    return once(tmp_path_factory, "everything",
                lambda folder: run_driver(TOP / "tests/kd/everything.c", folder, dump="full"))


@pytest.fixture(scope="session")
def deadlocked(tmp_path_factory):
    """The machine in which two threads wait for each other's resource; nothing has crashed, so the dump is QEMU's."""
    return once(tmp_path_factory, "deadlock",
                lambda folder: run_driver(TOP / "tests/drivers/lock/lock_order_resource.c", folder, mem=32))


@pytest.fixture(scope="session")
def verified(tmp_path_factory):
    """The machine that the verifier stopped because of an order of locks."""
    return once(tmp_path_factory, "verified",
                lambda folder: run_driver(TOP / "tests/drivers/verifier/verify_order.c", folder, "verifier", dump="full"))


COMMANDS = {
    **{f"irql {n}": f"!irql {n}" for n in range(4)}, **{f"prcb {n}": f"!prcb {n}" for n in range(4)},
    "pcr": "!pcr 0", "running": "!running -it", "running busy": "!running", "qlocks": "!qlocks",
    "spinlock": "!spinlock", "first": "!spinlock {FirstLock:x}", "dpcs": "!dpcs", "dpcs 1": "!dpcs 1",
    "timer": "!timer", "ready": "!ready", "ipi": "!ipi",
    "locks": "!locks", "all locks": "!locks -v", "shared": "!locks {SharedResource:x}", "mutex": "!mutex {Mutex:x}",
    "fast": "!mutex {FastMutex:x}", "guarded": "!fastmutex {GuardedMutex:x}", "push": "!pushlock {PushLock:x}",
    "event": "!event {Never:x}", "semaphore": "!semaphore {Semaphore:x}", "waiters": "!waiters",
    "waiters of mutex": "!waiters {Mutex:x}", "waiters of nobody": "!waiters {Timer:x}",
    "thread holder": "!thread {Holder:x}", "thread any": "!thread {AnyOf:x} 2", "thread all": "!thread {AllOf:x} 0",
    "thread current": "!thread", "thread sleeper": "!thread {Sleeper:x}", "t push": "!t {WantsPushShared:x}",
    "t fast": "!t {WantsFastMutex:x}", "t resource": "!t {WantsResourceShared:x}", "t end": "!t {WantsEnd:x}",
    "stacks": "!stacks", "stacks wants": "!stacks 2 wants", "us": "!us", "lt": "!lt -wr WrResource", "tl": "!tl",
    "deadlock": "!deadlock", "verifier": "!verifier",
    "no thread": "!thread {Mutex:x}", "no address": "!thread 10", "no mutex": "!mutex {Never:x}", "no cpu": "!irql 9",
    "no event": "!event {Semaphore:x}", "nothing": "!mutex", "option": "!running -z"}


def ask(core, at):
    """{name of COMMANDS: what it says}, from one session."""
    line = ";".join(f"gdb echo @@@{name}@@@\\n;{command.format(**at)}" for name, command in COMMANDS.items())
    text = run_kd([core, "-c", line], status=None)
    parts = text.split("@@@")
    found = dict(zip(parts[1::2], parts[2::2]))
    assert set(found) == set(COMMANDS), text
    return found


@pytest.fixture(scope="session")
def said(everything):
    """Each command's answer on the kernel's own dump; asked once for all workers."""
    path = everything.folder / "said.json"
    with open(everything.folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            path.write_text(json.dumps(ask(everything.folder / "crash.elf", everything.at)))
    return json.loads(path.read_text())


# ---- Memory, read here once more ----

class Core:
    """The memory of a core file, by virtual address; may be written to."""

    def __init__(self, path):
        self.path, self.data = path, bytearray(path.read_bytes())
        start, = struct.unpack_from("<Q", self.data, 32)
        count, = struct.unpack_from("<H", self.data, 56)
        rows = [struct.unpack_from("<IIQQQQQQ", self.data, start + 56 * n) for n in range(count)]
        self.loads = [(row[3], row[2], row[5]) for row in rows if row[0] == 1]

    def offset(self, address):
        for start, offset, size in self.loads:
            if start <= address < start + size:
                return offset + address - start
        raise KeyError(f"{address:x} is not in {self.path}")

    def u64(self, address):
        return struct.unpack_from("<Q", self.data, self.offset(address))[0]

    def s32(self, address):
        return struct.unpack_from("<i", self.data, self.offset(address))[0]

    def put(self, address, value):
        struct.pack_into("<Q", self.data, self.offset(address), value & (1 << 64) - 1)


def kernel_symbols():
    """{name: address} by nm."""
    text = subprocess.run(["nm", KERNEL], capture_output=True, text=True, check=True).stdout
    return {words[2]: int(words[0], 16) for words in map(str.split, text.splitlines()) if len(words) == 3}


def reported(serial):
    """COM1's text on each CPU: [(IRQL, thread, place, [(lock, taken by)])]."""
    found = []
    for line in re.sub(r"\n {40,}", " ", serial).partition("What each CPU was doing")[2].splitlines()[1:]:
        cpu = re.match(r"[> ]\s+(\d+)\s+IRQL\s+(\d+) \S+(?: level)?\s+(.*?)\s+(\S+!\S+) \(", line)
        lock = re.match(r"\s+holds the spin lock (\S+), taken by (\S+)", line)
        if cpu:
            found.append((int(cpu[2]), cpu[3].strip("'"), cpu[4], []))
        elif lock:
            found[-1][3].append((lock[1], lock[2]))
        else:
            break
    return found


# ---- CPUs ----

def test_irql_is_what_com1_reports(everything, said):
    rows = reported(everything.serial)
    levels = [row[0] for row in rows]
    assert levels[3] == 12 and {2} <= {*levels[:3]} <= {2, 13}     # 13: the freeze may meet a CPU in its clock's interrupt
    for number, row in enumerate(rows):
        assert said[f"irql {number}"] == (
            f"\nDebugger saved IRQL for processor 0x{number:x} -- {row[0]} ({LEVELS[row[0]]})\n")
        assert f"Current IRQL -- {row[0]}\n" in said[f"prcb {number}"]


def test_running_names_threads_places_and_queued_locks(everything, said):
    at, text = everything.at, said["running"]
    parts = re.split(r"^  (\d)    ", text, flags=re.M)
    stacks = dict(zip(map(int, parts[1::2]), parts[2::2]))
    queued = ["..............O.", "................", "..............W.", "..............W."]    # its number is 14
    for number, (row, name) in enumerate(zip(reported(everything.serial), ("CpuZero", "CpuOne", "CpuTwo", "CpuThree"))):
        head = stacks[number].splitlines()[0]
        assert f"  {at[name]:016x} (" in head and head.endswith(queued[number])
        place = row[2].partition("+")[0] if number else "everything!DriverEntry"
        assert place in stacks[number].replace("KiVectorStubs", "KiTrapCodeStart")      # two names of one place
    assert f"({0b1111:016x})" in text and f"({0:016x})" in text
    assert len(re.findall(r"^  \d    ", said["running busy"], re.M)) == 4 and "Child-SP" not in said["running busy"]


def test_pcr_lists_the_queued_dpcs(everything, said):
    at, text = everything.at, said["pcr"]
    assert re.search(rf"DpcQueue: 0x\w+ 0x\w+ nt!ExpireTimers \[Normal\]|: 0x{at['LowDpc']:016x}", text)
    assert f": 0x{at['LowDpc']:016x} " in text and f": 0x{at['LateDpc']:016x} " in text
    assert re.search(rf"0x{at['LowDpc']:016x} 0x\w+ everything!Late \[Normal\]", text)
    assert re.search(rf"0x{at['LateDpc']:016x} 0x\w+ everything!Late \[Threaded\]", text)
    assert f"CurrentThread: {at['CpuZero']:016x}" in text


def test_dpcs_by_cpu(everything, said):
    at = everything.at
    for name, cpu, kind in (("LowDpc", 0, "Normal"), ("LateDpc", 0, "Threaded"), ("FarDpc", 1, "Normal")):
        assert re.search(rf"^ {cpu}: {kind} *: 0x{at[name]:016x} 0x\w+ everything!Late$", said["dpcs"], re.M)
    assert f"{at['FarDpc']:016x}" in said["dpcs 1"] and f"{at['LowDpc']:016x}" not in said["dpcs 1"]


def test_queued_lock_matrix(said):
    row = next(line for line in said["qlocks"].splitlines() if "BcbLock" in line)
    assert row.split() == ["BcbLock", "O", "1", "2"] and row.index("O") == row.index("1") - 6     # CPU 1's is blank
    others = [line for line in said["qlocks"].splitlines() if line.strip().endswith("Lock") and "Bcb" not in line]
    assert len(others) == 14 and "Key: O = Owner" in said["qlocks"]


def test_spin_locks_and_who_spins(everything, said):
    at, rows = everything.at, reported(everything.serial)
    for cpu, thread in ((0, "CpuZero"), (2, "CpuTwo")):
        (lock, caller), = rows[cpu][3]
        assert re.search(rf"{lock}: held by processor {cpu}, {at[thread]:016x} .* by {re.escape(caller)}$",
                         said["spinlock"], re.M)
    spinning = re.findall(r"CPU (\d) waits for the spin lock ([0-9A-F]{16})", everything.serial)
    assert len(spinning) == 3
    for cpu, lock in spinning:
        assert re.search(rf"^{int(lock, 16):016x}.*: processor {cpu} waits for it", said["spinlock"], re.M)
    assert all(words in said["first"] for words in ("0x1, held", "held by processor 0", "processor 1 waits for it"))


def test_timers_in_order(everything, said):
    at, core, symbols = everything.at, Core(everything.folder / "crash.elf"), kernel_symbols()
    now = core.u64(symbols["KiInterruptTime"])
    rows = re.findall(r"^([0-9a-f]{16})  ([0-9a-f]{8}) ([0-9a-f]{8}) +(-?[\d.]+) +(\d+)  (.*)$", said["timer"], re.M)
    dues = [int(high + low, 16) for _, low, high, *_ in rows]
    assert dues == sorted(dues) and f"Total Timers: {len(rows)}" in said["timer"]
    by_address = {int(row[0], 16): row for row in rows}
    row = by_address[at["Timer"]]
    due = core.u64(at["Timer"] + 0x18)
    assert int(row[2] + row[1], 16) == due and float(row[3]) == round((due - now) / 1e7, 3)
    assert row[4] == "5000" and f"everything!Late (DPC @ {at['TimerDpc']:016x})" in row[5]
    assert f"thread {at['AllOf']:016x}" in by_address[at["WaitedTimer"]][5]
    assert sum(f"thread {at[name]:016x}" in row[5] for row in rows for name in ("AnyOf", "Sleeper")) == 2


def test_ready_thread(everything, said):
    text, thread = said["ready"], everything.at["NeverRuns"]
    assert re.search(rf"Processor 3: Ready Threads at priority \d+\nTHREAD {thread:016x} .* READY on processor 3\n",
                     text)
    assert all(f"Processor {n}: No threads in READY state" in text for n in range(3))


# ---- Threads ----

def test_thread_in_full(everything, said):
    at, text, core = everything.at, said["thread holder"], Core(everything.folder / "crash.elf")
    lines = text.splitlines()
    assert lines[1].startswith(f"THREAD {at['Holder']:016x}  Cid 0004.")
    assert lines[1].endswith(" WAIT: (Executive) KernelMode Non-Alertable")
    assert lines[2] == f"    {at['Never']:016x}  SynchronizationEvent, everything!Never"
    ticks = core.u64(kernel_symbols()["KiTickCount"])
    began, waited = map(int, re.search(r"Wait Start TickCount +(\d+) +Ticks: (\d+)", text).groups())
    assert began + waited == ticks
    for name in ("PushLock", "FastMutex", "GuardedMutex"):
        assert f"Holds the fast mutex, guarded mutex or push lock {at[name]:016x}, everything!{name}" in text
    titles = ("Not impersonating", "Owning Process", "Attached Process", "Wait Start TickCount", "Context Switch Count",
              "UserTime", "KernelTime", "Start Address everything!Holder", "Stack Init", "Base ", "Priority ",
              "Child-SP")
    places = [text.index("\n" + title) for title in titles]
    assert places == sorted(places)                 # WinDbg's order
    assert "everything!WaitFor+" in text and "everything!Holder+" in text and "nt!KiStartThread+" in text


def test_thread_flags_and_several_objects(everything, said):
    at = everything.at
    text = said["thread any"]
    assert "WAIT: (UserRequest) KernelMode Alertable" in text
    assert f"    {at['Other']:016x}  NotificationEvent, everything!Other\n" in text
    assert f"    {at['Semaphore']:016x}  Semaphore Limit 0x7, everything!Semaphore\n" in text
    assert re.search(r"NotificationTimer, due in 99\d\.\d+ s\n", text) and "Child-SP" not in text
    assert said["thread all"].count("\n") == 2 and f"{at['AllOf']:016x}" in said["thread all"]
    assert f"{at['CpuZero']:016x}" in said["thread current"] and "RUNNING on processor 0" in said["thread current"]
    assert "WAIT: (DelayExecution)" in said["thread sleeper"] and "everything!Sleeper+" in said["thread sleeper"]


@pytest.mark.parametrize("command, lock, kind, waiter", [
    ("t push", "PushLock", "PushLock", "WantsPushShared"), ("t fast", "FastMutex", "FastMutex", "WantsFastMutex"),
    ("t resource", "Resource", "Resource", "WantsResourceShared")])
def test_t_names_the_lock_and_its_owner(everything, said, command, lock, kind, waiter):
    at, text = everything.at, said[command]
    assert re.search(rf"It waits for {kind} {at[lock]:016x}, everything!{lock}.*, "
                     rf"owned by {at['Holder']:016x} \(Holder\)", text)
    assert f"System ({core_process(everything):016x})  {at[waiter]:016x}  0004." in text
    assert re.search(rf"nt!\S+   <- owned by {at['Holder']:016x} \(Holder\)\n", text)


def core_process(crash):
    return Core(crash.folder / "crash.elf").u64(kernel_symbols()["PsInitialSystemProcess"])


def test_t_of_a_wait_for_a_thread(everything, said):
    assert f"It waits for Thread {everything.at['Holder']:016x}\n" in said["t end"]


def test_stacks_names_the_place_of_each_wait(everything, said):
    at, text = everything.at, said["stacks"]
    for name, place in (("Holder", "everything!WaitFor"), ("WantsMutex", "everything!WaitFor"),
                        ("AnyOf", "everything!AnyOf"), ("Sleeper", "everything!Sleep"),
                        ("WantsFastMutex", "nt!AcquireContended")):
        assert re.search(rf"^0004\.\w+ +{at[name]:016x}  \w+ +Blocked +{re.escape(place)}\+", text, re.M), name
    assert re.search(rf"{at['NeverRuns']:016x}  0 +Ready", text)
    assert re.search(rf"{at['CpuTwo']:016x}  0 +Running", text)
    shown = set(re.findall(r"^0004\.\w+ +(\w{16})", said["stacks wants"], re.M))
    assert {f"{place:016x}" for name, place in at.items() if name.startswith("Wants")} == shown


def test_unique_stacks_count_every_thread_once(everything, said):
    core, head = Core(everything.folder / "crash.elf"), kernel_symbols()["KiThreadList"]
    count, entry = 0, core.u64(head)
    while entry != head:
        count, entry = count + 1, core.u64(entry)
    assert re.search(rf"^\d+ unique stacks, {count} threads$", said["us"], re.M)
    readers = [f"{everything.at[name]:016x}" for name in ("ReaderOne", "ReaderTwo")]
    assert f"2 threads: {' '.join(readers)}\n" in said["us"]
    assert f"Threads Processed: {count}" in said["stacks"] and f", {count} threads\n" in said["tl"]


def test_threads_by_reason(everything, said):
    shown = set(re.findall(r"^(\w{16})  0004", said["lt"], re.M))
    wanted = ("WantsResourceExclusive", "WantsResourceShared", "WantsShared")
    assert shown == {f"{everything.at[name]:016x}" for name in wanted}
    row = next(line for line in said["tl"].splitlines() if "System" in line).split()
    assert row[-2] == "7" or int(row[-2]) >= 7      # seven threads wait for locks


# ---- Locks ----

def test_locks_with_owners_and_waiters(everything, said):
    at, text = everything.at, said["locks"]
    assert re.search(rf"Resource @ everything!Resource \(0x{at['Resource']:016x}\) +Exclusively owned\n"
                     r"    Contention Count = 2\n", text)
    assert f"     Threads: {at['Holder']:016x}-01<*>\n" in text
    places = [text.index(f"     Threads Waiting On {way} Access:\n              {at[f'WantsResource{way}']:016x} ")
              for way in ("Exclusive", "Shared")]
    assert places == sorted(places)
    assert f"     Threads: {at['ReaderOne']:016x}-01<*>    {at['ReaderTwo']:016x}-02<*>\n" in said["shared"]
    assert "Shared 2 owning threads" in said["shared"] and f"{at['WantsShared']:016x}" in said["shared"]
    assert "FreeResource" not in text
    assert re.search(rf"everything!FreeResource \(0x{at['FreeResource']:016x}\) +Available\n", said["all locks"])
    total, held = map(int, re.search(r"^(\d+) total locks, (\d+) locks currently held$", text, re.M).groups())
    assert held == 2 and said["all locks"].count("Resource @ ") == total


def test_mutexes(everything, said):
    at, core = everything.at, Core(everything.folder / "crash.elf")
    assert core.s32(at["Mutex"] + 4) == -1 and "SignalState: -1 (owned, acquired 2 times)" in said["mutex"]
    assert f"    Owner: {at['Holder']:016x} (Holder)" in said["mutex"] and "ApcDisable: 1 (KMUTEX)" in said["mutex"]
    assert f"    Waiters: 1\n        {at['WantsMutex']:016x} (WantsMutex)" in said["mutex"]
    for command, waiter in (("fast", "WantsFastMutex"), ("guarded", "WantsGuardedMutex")):
        assert "Count: 4 (owned, 1 waiting)" in said[command]
        assert f"    Owner: {at['Holder']:016x}" in said[command] and f"        {at[waiter]:016x}" in said[command]


def test_push_lock(everything, said):
    at, core, text = everything.at, Core(everything.folder / "crash.elf"), said["push"]
    assert f": 0x{core.u64(at['PushLock']):x} (owned, waited for)" in text
    assert f"    Owner: {at['Holder']:016x} (Holder)\n" in text
    assert text.count("wants it exclusive") == 1 and text.count("wants it shared") == 1
    assert all(f"    Waiter: {at[name]:016x} " in text for name in ("WantsPushExclusive", "WantsPushShared"))


def test_event_and_semaphore(everything, said):
    at = everything.at
    assert "SynchronizationEvent" in said["event"] and "SignalState: 0 (not signalled)" in said["event"]
    waiting = re.findall(r"^        (\w{16})", said["event"], re.M)
    assert sorted(waiting) == sorted(f"{at[name]:016x}" for name in ("Holder", "ReaderOne", "ReaderTwo"))
    assert "Limit: 7" in said["semaphore"] and f"{at['AnyOf']:016x}" in said["semaphore"]


def test_waiters_in_groups(everything, said):
    at, text = everything.at, said["waiters"]
    assert (f"Mutant {at['Mutex']:016x}, everything!Mutex\n    owned by {at['Holder']:016x} (Holder)\n"
            f"    waited for by {at['WantsMutex']:016x} (WantsMutex), Executive\n") in text
    assert f"    waited for by {at['WantsPushShared']:016x} (WantsPushLock), WrPushLock, shared\n" in text
    assert re.findall(r"waited for by (\w+)", said["waiters of mutex"]) == [f"{at['WantsMutex']:016x}"]
    assert f"No thread waits for {at['Timer']:016x}" in said["waiters of nobody"]
    assert "No deadlock is known" in said["deadlock"] and "No driver is verified" in said["verifier"]


# ---- Deadlocks ----

def test_threads_in_a_circle(deadlocked):
    waits = re.findall(r"judge:   thread 0x(\w+) \((\S+)\) waits for \S+ \(\w+\) (\w{16}) \((\S+)\), "
                       r"owned by thread 0x(\w+)", deadlocked.serial)
    assert len(waits) == 2 and deadlocked.verdict["end"] == "deadlock"
    words = ["!deadlock 1", *(f"!t -t {row[0]}" for row in waits)]
    text = run_kd([deadlocked.folder / "crash.elf", "-c", ";".join(words)])
    assert "Deadlock detected (2 resources in 2 threads), and all of them wait:\n" in text
    assert "\nThread 0: A B\nThread 1: B A\n" in text
    for thread, routine, lock, name, owner in waits:
        assert re.search(rf"^Lock \w =   {int(lock, 16):016x}, {name} Type 'Resource'$", text, re.M)
        assert re.search(rf"  0004\.{int(thread, 16):04x}  ", text)
        holder, = re.findall(rf"waits for Resource {int(lock, 16):016x}, {name} \(exclusive\), owned by (\w+) ", text)
        assert re.search(rf"^System .*  {holder}  0004\.{int(owner, 16):04x}  ", text, re.M)
        assert f"        {routine}+" in text


def test_the_verifiers_circle(verified):
    wants = int(verified.verdict["p"][1], 16)
    taken = re.findall(r"took spin lock (\S+)$", verified.serial, re.M)[:1]
    text = run_kd([verified.folder / "crash.elf", "-c", "!deadlock 1;!verifier 3"])
    for words in ("Deadlock detected (2 resources in 1 threads)", "Thread 0: A B\n", "Thread 0: B A\n"):
        assert words in text
    assert f"Lock B =   {wants:016x}, verify_order!LockA Type 'SpinLock'" in text and f", {taken[0]} Type" in text
    for place in re.findall(r"^ +(verify_order!\S+) \(", verified.serial, re.M):
        assert f"        {place}\n" in text
    core, at = Core(verified.folder / "crash.elf"), kernel_symbols()["VfOptions"]
    assert f"Verify Flags Level 0x{core.s32(at):08x}" in text and "[X] (0x00000020) Deadlock detection" in text
    acquires = core.s32(kernel_symbols()["VfStatistics"] + 4)
    assert f"  AcquireSpinLocks     0x{acquires:x}\n" in text and acquires > 0


# ---- Other crashes ----

@pytest.mark.parametrize("scenario, cpus", [("paged", 4), ("wait-in-dpc", 2), ("stack-overflow", 1)])
def test_each_cpu_as_com1_reports_it(dump, kd, scenario, cpus):
    path = dump(scenario, cpus=cpus)
    rows = reported(serial_of(path))
    assert len(rows) == cpus
    text = kd(path, *[f"!irql {n}" for n in range(cpus)], "!running -it", "!spinlock", "!dpcs")
    for number, (level, name, place, locks) in enumerate(rows):
        assert f"processor 0x{number:x} -- {level} ({LEVELS[level]})" in text
        assert place.partition("+")[0] in text.replace("KiVectorStubs", "KiTrapCodeStart")
        for lock, caller in locks:
            assert re.search(rf"{lock}: held by processor {number}, .* by {re.escape(caller)}", text)
    assert ("a DPC runs on this CPU" in text) == (scenario == "wait-in-dpc")


def test_a_small_dump_has_each_cpu_and_says_what_it_has_not(dump):
    path = dump("paged", level="small", cpus=4)
    rows = reported(serial_of(path))
    words = [*(f"!irql {n}" for n in range(4)), "!running -it", "!spinlock", "!thread", "!pcr", "!deadlock", "!qlocks",
             "!dpcs", "!ready"]
    text = run_kd([path, "-c", ";".join(words)])
    for number, (level, _, place, locks) in enumerate(rows):
        assert f"processor 0x{number:x} -- {level} ({LEVELS[level]})" in text and place.partition("+")[0] in text
        assert all(f"{lock}: held by processor {number}" in text for lock, _ in locks)
    missing = run_kd([path, "-c", "!stacks;!timer;!verifier;!locks;!deadlock"], status=None)
    assert "Ticks: unknown" in text or re.search(r"Ticks: \d+", text)
    assert re.search(r"kd: !verifier: memory at \S+ cannot be read|Verify Flags Level", missing)


# ---- Damage ----

def test_bad_addresses_are_one_line(said):
    assert re.fullmatch(r"\nkd: !thread: \w{16} is not a thread: its header has type 0x2, .*\n", said["no thread"])
    assert re.fullmatch(r"\nkd: !thread: memory at 00000000`00000010 cannot be read: .*\n", said["no address"])
    assert re.fullmatch(r"\nkd: !mutex: \w{16} is no mutex: its header says SynchronizationEvent\n", said["no mutex"])
    assert re.fullmatch(r"\nkd: !event: \w{16} is no event: its header says Semaphore\n", said["no event"])
    assert re.fullmatch(r"\nkd: !irql: there is no CPU 9; .*\n", said["no cpu"])
    assert said["nothing"] == "\nkd: !mutex: the address of a mutex is missing\n"
    assert re.fullmatch(r"\nkd: !running: the options are .*\n", said["option"])


def fields_of(kind, *fields):
    """The offsets of fields, by GDB."""
    words = [word for field in fields for word in ("-ex", f"print (int)&((struct {kind} *)0)->{field}")]
    command = ["gdb", "-nx", "-q", "-batch", *words, KERNEL]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [int(value) for value in re.findall(r"= (\d+)$", text, re.M)]


def test_memory_that_was_written_over(everything, tmp_path):
    shutil.copy(everything.folder / "crash.elf", tmp_path / "crash.elf")
    shutil.copy(everything.folder / "everything.dbg", tmp_path)
    core, at, symbols = Core(tmp_path / "crash.elf"), everything.at, kernel_symbols()
    blocks, link, lock = fields_of("_KTHREAD", "WaitBlockList", "ThreadListEntry", "BlockingLock")
    queue, ready = fields_of("_KPRCB", "LockQueue[14]", "ReadyListHead")
    prcbs = [core.u64(symbols["KiProcessorBlock"] + 8 * number) for number in range(4)]
    core.put(at["WantsMutex"], 0x4141414141414141)                      # a thread's header
    core.put(core.u64(at["AllOf"] + blocks) + 0x28, at["AllOf"])        # a ring of wait blocks that leads astray
    core.put(at["WantsFastMutex"] + lock, 0x1234)                       # the lock that it waits for
    core.put(at["SharedResource"] + 0x10, at["Mutex"])                  # a resource's owner table
    core.put(prcbs[3] + queue, prcbs[2] + queue)                        # a queued lock's queue: a loop
    core.put(at["FarDpc"] + 8, at["FarDpc"] + 8)                        # a list of DPCs
    core.put(prcbs[3] + ready + 16 * 8, 0xFFFFF8A0DEADBEE0)             # a ready queue
    core.put(at["NeverRuns"] + link + 8, 0)                               # the list of all threads
    (tmp_path / "crash.elf").write_bytes(core.data)
    text = ask(tmp_path / "crash.elf", at)
    assert re.search(rf"kd: thread {at['WantsMutex']:016x} is left out: .* is not a thread: its header has type 0x41",
                     text["stacks"])
    assert re.search(rf"kd: wait block {at['AllOf']:016x} names thread", text["waiters"])
    assert f"kd: what thread {at['WantsFastMutex']:016x} waits for: memory at 00000000`0000123c" in text["waiters"]
    assert re.search(r"kd: it counts 2 owners and names \d+|says that it has \d+ entries|cannot be read", text["locks"])
    assert "Exclusively owned" in text["locks"] and "total locks" in text["locks"]
    assert re.search(r"BcbLock +O +1 +2", text["qlocks"])
    assert "KDPC.DpcListEntry: the list" in text["dpcs"] and f"{at['LowDpc']:016x}" in text["dpcs"]
    assert "is corrupt: Flink" in text["ready"] and "Processor 1: No threads in READY state" in text["ready"]
    assert "KTHREAD.ThreadListEntry: the list" in text["stacks"] and "everything!Sleep+" in text["stacks"]


# ---- A live machine ----

def test_a_live_machine(tmp_path):
    machine = judged_machine(TOP / "tests/drivers/lock/mutex_order.c", tmp_path, [])
    run = Run(machine, tmp_path)
    socket = f"{run.sockets}/gdb"
    machine.extra += ("-chardev", f"socket,path={socket},server=on,wait=off,id=gdb", "-gdb", "chardev:gdb")
    with run:
        assert run.wait(MACHINE_LIMIT).verdict["end"] == "deadlock", hang_report(run, MACHINE_LIMIT)
        shutil.copy(tmp_path / "mutex_order.dbg", run.sockets)
        run.qmp("stop")                             # only the CPU that gave the verdict has halted
        levels = [int(re.search(r"TPR 0x(\w+)", run.monitor(f"info lapic {n}"))[1], 16) >> 4 for n in range(4)]
        words = ["!deadlock", "!running -i", "!stacks", *(f"!irql {n}" for n in range(4))]
        text = run_kd(["--live", socket, "-c", ";".join(words)])
        serial = run.serial.text()
    for lock, name in re.findall(r"waits for KMUTEX (\w{16}) \((\S+)\)", serial):
        assert re.search(rf"^Lock \w =   {int(lock, 16):016x}, {name} Type 'Mutant'$", text, re.M)
    assert "Deadlock detected (2 resources in 2 threads), and all of them wait" in text
    for number, level in enumerate(levels):
        assert f"Debugger saved IRQL for processor 0x{number:x} -- {level} ({LEVELS[level]})" in text
    assert text.count("mutex_order!Take+") == 2 and len(re.findall(r"^  \d    \w{16}  \w{16} \(", text, re.M)) == 4
