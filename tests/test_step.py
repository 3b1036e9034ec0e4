"""Single-stepping: the five walks show what the processor does, a broken lock is noticed, nothing stays behind."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pexpect
import pytest

from cli import step
from conftest import ensure_built
from host.paths import OUT, TOP
from machine.emulators import Machine

LIMIT = 180
WORD = (1 << 64) - 1


@pytest.fixture
def own_output(tmp_path, build):
    """An output folder of the test's own that shares the builds."""
    ensure_built("step")
    for name in (*build, "step"):
        (tmp_path / name).symlink_to(OUT / name)
    return tmp_path


class Walk:
    """A walk's text, step by step."""

    def __init__(self, text, serial):
        self.text, self.serial = text, serial   # serial: what the machine said on COM1
        text = re.sub(r"\n {13,}(?=\S)", "   ", text)         # what did not fit into a row goes on below it
        self.steps = re.split(r"^\[\d+/\d+\] ", text, flags=re.MULTILINE)[1:]

    def value(self, number, title, name):
        """A step's value (1 is the first) under a name in the row of a title, after the arrow where there is one."""
        row = re.search(rf"^    {re.escape(title)}   .*$", self.steps[number - 1], re.MULTILINE)
        assert row, f"step {number} shows nothing about {title}"
        cell = re.search(rf"   {re.escape(name)} (\S.*?)(?=   |$)", row[0])
        assert cell, f"step {number} shows no {name} of {title}: {row[0]}"
        return cell[1].rpartition(" -> ")[2]

    def number(self, number, title, name):
        return int(self.value(number, title, name), 16)


walks = {}                                      # subject -> Walk: each is taken once by a process


@pytest.fixture
def walk(own_output):
    """walk(subject) takes a walk unattended, and returns what it has printed."""
    def runner(subject):
        if subject not in walks:
            done = subprocess.run([sys.executable, TOP / "tools/tool", "cli.step", subject, "--auto", "--timeout", "120"],
                                  capture_output=True, text=True, timeout=LIMIT, stdin=subprocess.DEVNULL,
                                  env=os.environ | {"OUT": str(own_output)})
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr
            assert "Traceback" not in done.stdout + done.stderr
            walks[subject] = Walk(done.stdout, (own_output / "walk/serial.log").read_text(errors="replace"))
        taken = walks[subject]
        assert taken.text.rstrip().endswith(f"All {len(taken.steps)} steps went as announced.")
        return taken
    return runner


# After each step: the lock word, who owns it, the sum; IRQL and register of CPU 0; of CPU 1. None: as it was before.
SPINLOCK = [
    (0, "none", 0, 2, None, 0, None),
    (0, "none", 0, 2, None, 2, None),
    (0, "none", 0, 2, "AL 1", 2, "AL 1"),
    (1, "CPU 0", 0, 2, "AL 0", 2, "AL 1"),                   # CPU 0: 0 -> 1, wins
    (1, "CPU 0", 0, 2, "AL 0", 2, "AL 1"),                   # CPU 1: 1 -> 1, loses
    (1, "CPU 0", 0, 2, None, 2, "AL 1"),
    (1, "CPU 0", 0, 2, None, 2, "AL 1"),
    (1, "CPU 0", 0, 2, None, 2, "AL 1"),
    (1, "CPU 0", 1, 2, None, 2, "AL 1"),
    (0, "none", 1, 2, None, 2, "AL 1"),                    # the release
    (1, "CPU 1", 1, 2, None, 2, "AL 0"),                     # CPU 1: 0 -> 1, wins
    (1, "CPU 1", 2, 2, None, 2, None),
    (0, "none", 2, 0, None, 0, None),
    (0, "none", 0, 2, None, 2, None),
    (0, "none", 0, 2, "AL 0", 2, None),
    (0, "none", 0, 2, "AL 0", 2, "AL 0"),                  # both have seen it free
    (1, "CPU 0", 0, 2, "AL 0", 2, "AL 0"),
    (1, "CPU 0 and CPU 1", 0, 2, "AL 0", 2, "AL 0"),         # both are in
    (1, "CPU 0 and CPU 1", 0, 2, "EAX 0", 2, "EAX 0"),
    (1, "CPU 0 and CPU 1", 1, 2, None, 2, "EAX 0"),
    (1, "CPU 0 and CPU 1", 1, 2, None, 2, None),             # two additions, and the sum is 1
    (0, "CPU 1", 1, 2, None, 2, None),
]


def test_one_exchange_lets_one_cpu_in_and_two_instructions_let_both_in(walk):
    taken = walk("spinlock")
    assert len(taken.steps) == len(SPINLOCK)
    for number, (word, owner, total, *cpus) in enumerate(SPINLOCK, 1):
        lock = "textbook lock" if number < 14 else "broken lock"
        seen = [taken.value(number, lock, name) for name in ("word", "owner", "sum")]
        assert seen == [str(word), owner, str(total)], f"step {number}"
        for cpu, (irql, register) in enumerate((cpus[:2], cpus[2:])):
            assert int(taken.value(number, f"CPU {cpu}".ljust(len(lock)), "IRQL")) == irql, f"step {number}"
            if register:
                name, content = register.split()
                assert taken.value(number, f"CPU {cpu}".ljust(len(lock)), name) == content, f"step {number}"


def test_the_listing_marks_what_each_cpu_is_about_to_execute(walk):
    """After the two exchanges both CPUs stand before the `test` that follows; in act 2 both stand before it too."""
    taken = walk("spinlock")
    lines = (TOP / "arch/x86_64/spinlock.asm").read_text().splitlines()
    exchange = next(number for number, line in enumerate(lines, 1) if re.match(r"\.spin:\s+xchg", line))
    arrows = [line for line in taken.steps[4].splitlines() if "=>" in line]
    assert [re.findall(r"=>|\d+|test", line)[:4] for line in arrows] == [["=>", "=>", str(exchange + 1), "test"]]


def test_the_page_fault_walk_ends_in_the_bugcheck_that_a_run_ends_in(walk, boot):
    taken = walk("pagefault")
    run = boot("paged", build="step", seed=1, cpus=1, mem=64)
    run.assert_bugcheck(0xD1, p2=2, p3=1)
    last = len(taken.steps)
    assert [taken.number(last, "bugcheck  ", f"P{number}") for number in range(1, 5)] == run.parameters
    assert taken.value(last - 1, "bugcheck  ", "code") == "0xA" and taken.value(last, "bugcheck  ", "code") == "0xD1"
    address, rip = run.parameters[0], run.parameters[3]
    assert taken.number(5, "pushed   ", "RIP") == rip and taken.number(5, "pushed   ", "error code") == 2
    assert taken.number(5, "CR2      ", "is") == address
    frame = {name: taken.number(6, "trap frame", name) for name in ("vector", "error code", "address", "IRQL before")}
    assert frame == {"vector": 0x14, "error code": 2, "address": address, "IRQL before": 2}
    assert [taken.value(number, "CPU 0".ljust(wide), "IF") for number, wide in ((4, 9), (5, 9), (6, 10))] == ["1", "0", "1"]


def test_the_page_fault_walk_shows_the_entries_of_the_four_levels(walk):
    taken = walk("pagefault")
    address = taken.number(1, "the store", "to")
    entries = []
    for level, name in enumerate(("PXE", "PPE", "PDE", "PTE")):
        shift = 39 - 9 * level
        place, content = (taken.number(4, name.ljust(9), column) for column in ("at", "contains"))
        # The self map: slot 0x1ED of the top table, through which 3 - level levels are skipped.
        base = sum(0x1ED << 39 - 9 * turn for turn in range(4 - level)) | 0xFFFF << 48
        assert place == (base | (address & (1 << 48) - 1) >> shift << 3) & WORD, name
        assert taken.number(4, name.ljust(9), "entry") == address >> shift & 0x1FF, name
        entries.append(content)
    assert [entry & 1 for entry in entries] == [1, 1, 1, 0]
    for level, entry in enumerate(entries[:3]):
        flags = dict(word.split("=") for word in taken.value(4, ("PXE", "PPE", "PDE")[level].ljust(9), "flags").split())
        assert flags == {name: str(entry >> bit & 1) for name, bit in (("V", 0), ("W", 1), ("A", 5), ("D", 6), ("NX", 63))}
    assert re.search(rf"frame given away:.*\b0*{entries[3]:X}\b", taken.serial), taken.serial[-2000:]
    assert taken.number(4, "PTE      ", "page file slot") == entries[3] >> 32


# After each step: IRQL, what runs, our thread's state, V of the PTE, whether it is in transition, the request's status, the event.
PAGEIN = [
    (0, "'phase 1'", "Running", 0, False, None, None),
    (0, "'phase 1'", "Running", 0, False, None, None),
    (0, "'phase 1'", "Running", 0, False, None, None),
    (1, "'phase 1'", "Running", 0, True, None, 0),           # the read is about to start
    (1, "'phase 1'", "Running", 0, True, 0x103, 0),
    (2, "'phase 1'", "Waiting", 0, True, 0x103, 0),
    (2, None, "Waiting", 0, True, 0, 0),                     # the DPC, on another thread
    (1, "'phase 1'", "Running", 0, True, 0, 1),
    (2, "'phase 1'", "Running", 1, False, 0, 1),
    (0, "'phase 1'", "Running", 1, False, None, None),
    (0, "'phase 1'", "Running", 1, False, None, None),
]


def test_a_page_comes_back_while_another_thread_runs(walk):
    taken = walk("pagein")
    assert len(taken.steps) == len(PAGEIN)
    for number, (irql, runs, state, valid, transition, status, event) in enumerate(PAGEIN, 1):
        cpu, thread, read = "CPU 0     ", "our thread", "the read  "
        assert [taken.value(number, cpu, "IRQL"), taken.value(number, thread, "state")] == [str(irql), state], f"step {number}"
        assert (taken.value(number, cpu, "runs") == "'phase 1'") == (runs is not None), f"step {number}"
        assert f"V={valid}" in taken.value(number, "PTE       ", "flags") and ("transition, frame" in taken.steps[number - 1]) == transition
        if status is not None:
            assert taken.number(number, read, "status") == status, f"step {number}"
        if event is not None:
            assert taken.value(number, read, "event") == str(event), f"step {number}"


def test_the_page_in_walk_reads_the_slot_and_repeats_the_store(walk):
    taken = walk("pagein")
    slot = int(re.search(r"frame given away: .* slot (\d+)", taken.serial)[1])
    assert taken.number(4, "the read  ", "slot") == slot == taken.number(1, "PTE       ", "page file slot")
    frame = taken.number(4, "the read  ", "into frame")
    assert [taken.number(number, "PTE       ", "contains") for number in (9, 10, 11)] == [
        1 << 63 | frame << 12 | bits for bits in (0x23, 0x23, 0x63)]                   # D at the second try
    assert [taken.value(number, "the page  ", "Number") for number in (9, 10, 11)] == ["42", "42", "43"]
    assert re.search(r"IRQL 0: writing 43 to 0*%X\b" % taken.number(1, "the store ", "to"), taken.serial)


# After each step: IRQL, IF, stack, requested 0x2f, in service, depth of the queue, how often the routine has run.
DPC = [
    (2, 1, "thread", False, False, 0, 0),
    (15, 1, "thread", False, False, 1, 0),
    (15, 1, "thread", True, False, 1, 0),
    (2, 1, "thread", True, False, 1, 0),
    (2, 1, "thread", True, False, 1, 0),
    (0, 0, "thread", False, True, 1, 0),                     # one `mov cr8` later
    (2, 1, "DPC", False, False, 0, 0),
    (0, 1, "thread", False, False, 0, 1),
]


def test_a_dpc_waits_in_the_request_register_until_cr8_drops(walk):
    taken = walk("dpc")
    assert len(taken.steps) == len(DPC)
    for number, expected in enumerate(DPC, 1):
        cpu = [taken.value(number, "CPU 0     ", name) for name in ("IRQL", "IF", "stack")]
        apic = ["0x2f" in taken.value(number, "local APIC", name) for name in ("requested", "in service")]
        queue = [taken.value(number, "DPC queue ", name) for name in ("depth", "routine has run")]
        assert (int(cpu[0]), int(cpu[1]), cpu[2], *apic, *map(int, queue)) == expected, f"step {number}"


def test_one_instruction_exchanges_the_stacks(walk):
    taken = walk("switch")
    first, second = "first thread ", "second thread"
    before, after = taken.number(2, "CPU 0        ", "RSP"), taken.number(3, "CPU 0        ", "RSP")
    assert taken.number(1, first, "KernelStack") != before == taken.number(2, first, "KernelStack")
    assert after == taken.number(3, second, "KernelStack")
    for rsp, thread in ((before, first), (after, second)):
        low, high = (int(end, 16) for end in taken.value(3, thread, "stack").split(".."))
        assert low < rsp < high and high - low == 0x6000
    owners = [taken.value(number, "CPU 0        ", "on the stack of the") for number in range(1, 8)]
    assert owners == ["first thread"] * 2 + ["second thread"] * 5
    current = [taken.value(number, "gs:[188h]    ", "current thread") for number in range(1, 8)]
    assert current == ["first thread"] * 3 + ["second thread"] * 4
    assert taken.number(5, "CPU 0        ", "RSP") == after + 6 * 8
    assert re.search(r"first thread would return through\s+SwapThread <.* StepPing <", taken.steps[5])
    assert re.search(r"second thread returns through\s+SwapThread <.* StepPong <", taken.steps[5])
    assert taken.value(7, "CPU 0        ", "in") == "StepPong" and taken.value(7, "CPU 0        ", "IRQL") == "0"


def without_build(code, *words):
    """A command that runs the launcher after some Python, on the kernel that is there."""
    text = (f"import sys; sys.path.insert(0, {str(TOP / 'tools')!r}); from cli import step; step.build = lambda *_, **__: None; {code}; "
            f"sys.exit(step.main({list(words)!r}))")
    return [sys.executable, "-c", text]


TEXTBOOK = re.compile(r"(?<=\nKiAcquireTextbookLock:\n)(?:.*\n)*?(?=\n)")
RELEASED_WRONGLY = ("mov     byte [rdi], 0\n        ret\n\n; ---- KSPIN_LOCK", "mov     byte [rdi], 1\n        ret\n\n; ---- KSPIN_LOCK")
ADDS_TOO = ("mov     byte [rdi], 0\n        ret\n\n; ---- KSPIN_LOCK", "mov     byte [rdi], 0\n        extern StepTextbookSum\n"
            "        inc dword [rel StepTextbookSum]\n        ret\n\n; ---- KSPIN_LOCK")
EXCHANGED = "mov cl, 1\n.spin: xor eax, eax\n lock cmpxchg [rdi], cl\n jnz .spin\n ret\n"
WATCHED_FIRST = ".spin: cmp byte [rdi], 0\n je .try\n pause\n jmp .spin\n.try: mov al, 1\n xchg al, [rdi]\n test al, al\n jnz .spin\n ret\n"
TESTED_THEN_SET = ".spin: mov al, [rdi]\n test al, al\n jnz .spin\n mov byte [rdi], 1\n ret\n"


def kernel_with(folder, text):
    """Links the kernel for stepping with another spinlock.asm; its output folder."""
    (folder / "spinlock.asm").write_text(text)
    ensure_built("step")
    made, own = OUT / "step", folder / "step"
    own.mkdir()
    (folder / "spinlock.o").unlink(missing_ok=True)
    subprocess.run(["nasm", "-f", "elf64", "-g", "-F", "dwarf", f"-I{made}/generated/", "-Iarch/x86_64/",
                    folder / "spinlock.asm", "-o", folder / "spinlock.o"], cwd=TOP, check=True, timeout=60)
    subprocess.run(["objcopy", "--wildcard", "--strip-symbol=..@*", "--strip-symbol=Cfi*", folder / "spinlock.o"], check=True, timeout=60)
    sources = [path.relative_to(TOP) for folder_ in ("boot", "arch/x86_64", "kernel") for path in sorted((TOP / folder_).rglob("*"))]
    objects = [made / "obj" / (path.with_suffix(".o") if path.suffix == ".c" else f"{path}.o") for path in sources
               if path.suffix == ".asm" or path.suffix == ".c" and "drivers" not in path.parts]
    objects = [folder / "spinlock.o" if path.name == "spinlock.asm.o" else path for path in objects if path.exists()]
    subprocess.run(["ld", "-n", "-nostdlib", "-z", "noexecstack", "-z", "max-page-size=4096", "--build-id=none",
                    "--no-warn-rwx-segments", "-T", "boot/kernel.ld", "-o", own / "kernel.elf", *objects,
                    made / "obj/generated/exports.o"], cwd=TOP, check=True, timeout=60)
    for name in ("boot.cpio", "drivers"):
        (own / name).symlink_to(made / name)
    return folder


def walk_with(folder, change):
    """The text of `step spinlock --auto` on a kernel whose spinlock.asm is changed."""
    text = (TOP / "arch/x86_64/spinlock.asm").read_text()
    if isinstance(change, tuple):
        assert text.count(change[0]) == 1
        text = text.replace(*change)
    else:
        text, count = TEXTBOOK.subn(change, text)
        assert count == 1
    return subprocess.run(without_build("pass", "spinlock", "--auto"), capture_output=True, text=True, timeout=LIMIT,
                          stdin=subprocess.DEVNULL, env=os.environ | {"OUT": str(kernel_with(folder, text))})


@pytest.mark.parametrize("change,number,told", (
    (RELEASED_WRONGLY, 10, "the lock word is 1, and should be 0."),
    (TESTED_THEN_SET, 3, "a plain store, behind a test that another CPU can come between, and should be a locked read-modify-write."),
    ("ret\n", 3, "KiAcquireTextbookLock never writes the lock's word: it takes nothing"),
), ids=("never-released", "test-then-set", "nothing"))
def test_a_broken_lock_fails_at_the_step_that_shows_how(tmp_path, change, number, told):
    done = walk_with(tmp_path, change)
    assert done.returncode == 1, done.stdout[-2000:] + done.stderr
    said = re.sub(r"\s+", " ", done.stdout)
    begin = said.index(f"[{number}/22]")
    first = said.index("*** NOT as announced:")
    assert begin < first and told in said[first:first + 200]
    assert f"[{number + 1}/22]" not in said[:first]


def test_a_walk_that_comes_to_its_end_fails_with_what_was_not_as_announced(tmp_path):
    """The lock works, but its release adds to the sum: all steps are done, and the exit status says that some were wrong."""
    done = walk_with(tmp_path, ADDS_TOO)
    said = re.sub(r"\s+", " ", done.stdout)
    assert "[22/22]" in said and re.search(r"\d of the values (was|were) not as announced: .*the sum", said), done.stdout[-3000:]
    assert done.returncode == 1, done.stderr


@pytest.mark.parametrize("change,words", ((EXCHANGED, "lock cmpxchg"), (WATCHED_FIRST, "xchg")), ids=("cmpxchg", "test-and-test-and-set"))
def test_another_lock_that_is_right_is_taken_for_one(tmp_path, change, words):
    done = walk_with(tmp_path, change)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert f"Both stand before `{words}`" in re.sub(r"\s+", " ", done.stdout)


def test_a_machine_that_never_comes_to_the_place_is_diagnosed(own_output):
    elsewhere = without_build("step.SUBJECTS['spinlock'].cmdline = 'test=list'", "spinlock", "--auto", "--timeout", "3")
    done = subprocess.run(elsewhere, capture_output=True, text=True, timeout=LIMIT, stdin=subprocess.DEVNULL,
                          env=os.environ | {"OUT": str(own_output)})
    assert done.returncode == 2, done.stdout + done.stderr
    assert "did not come to the next stop within 3 s; CPU 0 is in " in done.stdout.replace("\n", " ")
    assert "the last line on COM1 was: " in done.stderr and "Traceback" not in done.stdout + done.stderr


def test_a_panel_shows_whole_statements_of_the_functions_that_the_reader_knows(walk):
    """Of a head on several lines the one with the name; no one-liner of a header that the compiler has put in; lines that fit."""
    for subject in step.SUBJECTS:
        text = walk(subject).text
        assert not re.search(r"^    \S+\.h:\d+ .*|^    \S+:\d+   [^(]*\) \{$", text, re.MULTILINE)
        assert max(map(len, text.splitlines())) <= 112
    assert re.search(r"^    kernel/ke/bugcheck\.c:\d+   .*KiBugCheckFromTrap\(\.\.\.\) \{$", walks["pagefault"].text, re.MULTILINE)
    assert walks["pagein"].value(8, "CPU 0", "in") == "WaitForRead"


def test_no_announcement_contains_its_answer(walk):
    """Each step asks first; its result is below the panel, and in a run without a reader too."""
    for subject in step.SUBJECTS:
        taken = walk(subject)
        assert not re.search(r"   in \S+ -> ", taken.text)        # where a CPU is has no before
        for text in taken.steps:
            before, mark, after = text.partition("\n\n")
            assert mark and "Predict: " in before
            assert "->" not in before and "=>" not in before and after.strip()
    plain = re.sub(r"\s+", " ", walks["spinlock"].text)
    asked, told = plain.index("who owns the lock? CPU 0"), plain.index("now it is CPU 0's.")
    assert asked < told and "CPU 0 wins" not in plain[:told]


# A reader's input at a terminal of 80 by 24, and the screen before the next prompt.
TERMINAL = (
    (None, r"\[1/22\] CPU 0 raises.*Predict:"),
    ("", r"IRQL 0 -> \S*2.*\[2/22\]"),           # Enter is a step from the first prompt on
    ("", r"\[3/22\] Both"),
    ("info threads", r"  1 +CPU 0 .*\* 2 +CPU 1 "),
    ("", r"\[4/22\] CPU 0 executes its `xchg`"),    # and after GDB's commands
    ("n", r"word 0 -> \S*1.*now it is CPU 0's.*\[5/22\]"),
    ("plan", r"=>  5 CPU 1 executes"),
    ("stepi", r"jnz"),
    ("p $cr8", r"= 2"),
    ("nonsense", r"Undefined command"),
    ("back", r"After step 3 of 22.*word 0.*\[4/22\] CPU 0 executes its `xchg`"),
    ("", r"word 0 -> \S*1.*\[5/22\]"),
    ("break KiReleaseTextbookLock", "Breakpoint"),
    ("continue", "Continuing"),                 # CPU 0 leaves the path...
    ("", r"CPU 1 has read a 1.*\[6/22\]"),        # ...which a step of CPU 1's does not mind
    ("", r"step: CPU 0 did not come to KiAddOne.*`back 0` returns to this step"),
    ("back 0", r"After step 5 of 22.*word 1 .*\[6/22\]"),
    ("", r"it goes in, to the sum.*\[7/22\]"),
    ("restart", r"The spin lock, one instruction.*\[1/22\]"),
    ("", r"IRQL 0 -> \S*2.*\[2/22\]"),
    ("back x", "back \\[N\\]"),
    ("help", "back \\[N\\]: N steps back"),
    ("set var *(char *)&StepTextbookLock = 1", ""),     # the reader's own doing is not taken for the kernel's
    ("", r"NOT as announced: the lock word is 1, and should be 0\.\s+Have you moved the machine yourself\? `back 1` .*\[3/22\]"),
    ("set var *(char *)&StepTextbookLock = 0", ""),
    ("break KiAddOne", "Breakpoint"),           # the reader's own stop comes before the guide's
    ("python import steps.cpus as c", ""),
    ("python c.Cpu(0).run_to(c.address_of('KiReleaseTextbookLock'))", "CPU 0 stopped in KiAddOne before it came to KiReleaseTextbookLock"),
    ("delete", ""),
)


def test_a_reader_takes_the_walk_at_a_small_terminal(own_output):
    child = pexpect.spawn(sys.executable, [str(TOP / "tools/tool"), "cli.step", "spinlock"], encoding="utf-8", timeout=LIMIT,
                          dimensions=(24, 80), env=os.environ | {"OUT": str(own_output), "TERM": "dumb"})
    try:
        for words, answer in TERMINAL:
            if words is not None:
                child.sendline(words)
            child.expect(r"\(step\) ")
            assert re.search(answer, child.before, re.DOTALL), f"{words!r}: {child.before}"
            if words in (None, "", "plan", "back"):
                lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", child.before).split("\r\n")
                assert max(map(len, lines)) < 80, lines
            assert "[running]" not in child.before
        child.sendline("continue")              # nothing stops it
        child.expect("Continuing")
        answered = 1
        while answered:                         # a Ctrl-C before the machine runs is lost
            child.sendintr()
            answered = child.expect([r"\(step\) ", pexpect.TIMEOUT], timeout=2)
        child.sendline("gdb")
        child.expect(r"own prompt.*\(gdb\) ")
        child.sendline("quit")
        child.expect(pexpect.EOF)
    finally:
        child.close(force=True)
    assert child.exitstatus == 0
    assert not machines_of(own_output)


def machines_of(folder):
    """The processes of QEMU that write into a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if b"qemu-system" in line and str(folder).encode() in line:
            found.append(process.name)
    return found


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


@pytest.mark.parametrize("number", (signal.SIGINT, signal.SIGTERM, signal.SIGKILL))
def test_no_machine_outlives_its_walk(own_output, number):
    """As Ctrl-C does: the signal goes to the whole group. A killed launcher takes the machine with it."""
    child = subprocess.Popen(without_build("step.SUBJECTS['spinlock'].cmdline = 'test=list'", "spinlock", "--auto"),
                             env=os.environ | {"OUT": str(own_output)}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, start_new_session=True,
                             preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    wait_for(lambda: machines_of(own_output))
    os.killpg(child.pid, number)
    child.wait(timeout=60)
    wait_for(lambda: not machines_of(own_output))


@pytest.mark.parametrize("words,told", (((), "step through what?"), (("nonsense",), "unknown subject 'nonsense'"),
                                        (("dpc", "--timeout", "x"), "--timeout: 'x'"), (("dpc", "--nonsense"), "--nonsense")))
def test_a_wrong_word_is_answered_with_the_right_ones(words, told):
    done = subprocess.run([TOP / "tools/bugcheck", "step", *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stdout == "" and len(done.stderr.splitlines()) == 1
    assert told in done.stderr
    if told.startswith(("unknown", "step")):
        assert all(name in done.stderr for name in step.SUBJECTS)


def test_without_gdb_one_line_says_so(own_output):
    done = subprocess.run(without_build("step.toolchain.debugger = lambda: None", "dpc", "--auto"),
                          capture_output=True, text=True, timeout=60, env=os.environ | {"OUT": str(own_output)})
    assert done.returncode != 0 and "no GDB: Debian package gdb is not installed" in done.stderr
    assert not machines_of(own_output)


def test_the_machine_of_a_walk_is_seeded():
    """Its first stop is the same each time, and the numbers that the documents speak of are, too."""
    assert all(step.machine_of(subject, "x").seed is not None for subject in step.SUBJECTS.values())
    assert isinstance(step.machine_of(step.SUBJECTS["dpc"], "x"), Machine)


# ---- Visual Studio Code ----

def vscode(name):
    return json.loads((TOP / ".vscode" / name).read_text())


def test_the_editor_starts_what_there_is():
    tasks = {task["label"]: task for task in vscode("tasks.json")["tasks"]}
    configurations = vscode("launch.json")["configurations"]
    assert len(configurations) == 2
    for configuration in configurations:
        assert tasks[configuration["preLaunchTask"]]["isBackground"]
        assert configuration["program"] == "${workspaceFolder}/build/checked/kernel.elf"
        assert os.access(configuration["miDebuggerPath"], os.X_OK)
        assert configuration["type"] == "cppdbg" and configuration["launchCompleteCommand"] == "exec-continue"
    for task in tasks.values():
        assert shutil.which(task["command"].split()[0], path=f"{TOP}:{os.environ['PATH']}")
        matcher = task["problemMatcher"]
        if task.get("isBackground"):
            assert re.compile(matcher["background"]["beginsPattern"]).match("  CC      kernel/ke/dpc.c")
        error = re.match(matcher["pattern"]["regexp"], "kernel/ke/dpc.c:12:5: error: expected ';'")
        fields = [error[matcher["pattern"][name]] for name in ("file", "line", "column", "severity", "message")]
        assert fields == ["kernel/ke/dpc.c", "12", "5", "error", "expected ';'"]
    groups = [task["group"]["kind"] for task in tasks.values() if isinstance(task.get("group"), dict)]
    assert sorted(groups) == ["build", "test"]
    assert vscode("extensions.json")["recommendations"] == ["ms-vscode.cpptools"]


def test_the_editor_knows_the_headers_and_the_flags(build):
    """The Makefile's options; and with those that the editor gets, it can read every kind of source."""
    (known,) = vscode("c_cpp_properties.json")["configurations"]
    makefile = (TOP / "Makefile").read_text()
    flags = re.search(r"^CFLAGS :=(?:.*\\\n)*.*", makefile, re.MULTILINE)[0] + " -Ikernel/include/ddk/crt"
    folders = {word.replace("$(G)", "build/checked/generated") for word in re.findall(r"-I(\S+)", flags)}
    assert {word.removeprefix("${workspaceFolder}/") for word in known["includePath"]} == folders
    assert set(known["defines"]) == set(re.findall(r"-D(\S+)", re.search(r"^CHECKED_checked := (.*)", makefile, re.MULTILINE)[1]))
    places = [f"-I{word.replace('${workspaceFolder}/build/checked', str(build['checked'])).replace('${workspaceFolder}', str(TOP))}"
              for word in known["includePath"]]
    for name in ("kernel/mm/fault.c", "arch/x86_64/trap.c", "boot/bootinfo.c", "kernel/drivers/demo/secret.c"):
        done = subprocess.run([known["compilerPath"], f"-std={known['cStandard']}", *known["compilerArgs"], *places,
                               *(f"-D{word}" for word in known["defines"]), "-fsyntax-only", TOP / name],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("configuration", vscode("launch.json")["configurations"], ids=lambda row: row["name"])
def test_f5_stops_in_the_kernel_and_in_a_driver(own_output, configuration):
    """The task is started as the editor does it, its pattern waited for, and GDB told what the editor tells it.

    A breakpoint that a person has set in a driver's source is put in as the editor puts it in, and reached. The folder's name
    has a space in it, as many have."""
    (spaced := own_output.with_name(f"my {own_output.name}")).symlink_to(own_output)
    task = next(task for task in vscode("tasks.json")["tasks"] if task["label"] == configuration["preLaunchTask"])
    machine = subprocess.Popen(task["command"], shell=True, cwd=TOP, env=os.environ | {"OUT": str(own_output)},
                               text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               start_new_session=True)
    try:
        lines = iter(machine.stdout.readline, "")
        assert any(re.search(task["problemMatcher"]["background"]["endsPattern"], line) for line in lines)
        texts = [row["text"].replace("${workspaceFolder}/build", str(spaced)).replace("${workspaceFolder}", str(TOP))
                 for row in configuration["customLaunchSetupCommands"]]
        function = texts[-1].split()[-1]
        line = next(number for number, text in enumerate((TOP / "kernel/drivers/demo/secret.c").read_text().splitlines(), 1)
                    if "Secret->Number = Number" in text)
        texts += [f"-break-insert -f {TOP}/kernel/drivers/demo/secret.c:{line}", "-" + configuration["launchCompleteCommand"]]
        debugger = pexpect.spawn(configuration["miDebuggerPath"], ["-nx", "-q", "-i=mi"], encoding="utf-8", timeout=LIMIT,
                                 echo=False, cwd=str(own_output), maxread=65536)
        try:
            for text in texts:
                debugger.sendline(text)
                assert debugger.expect([r"\^(done|connected|running)", r"\^error.*"]) == 0, debugger.after
            stops = [function, "SecretStore"] if function == "KiSystemStartup" else ["SecretStore", "SecretStore", function]
            for number, place in enumerate(stops):
                if number:
                    debugger.sendline("-exec-continue")
                debugger.expect(r'\*stopped,reason="breakpoint-hit".*?func="(\w+)"')
                assert debugger.match[1] == place
        finally:
            debugger.close(force=True)
    finally:
        os.killpg(machine.pid, signal.SIGTERM)
        machine.communicate(timeout=60)
    wait_for(lambda: not machines_of(own_output))
