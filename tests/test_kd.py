"""The debugger's frame, on dumps and on a live machine, against what nm, objdump, QMP, COM1 and the bytes of the dump say."""

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time

import pexpect
import pytest

from corefile import Core, symbols
from host.paths import OUT, TOP
from kdhelp import dump, kd, live, run_kd, serial_of, verdict_of        # noqa: F401

STACKS = ("story", "pageable-code", "wait-in-dpc", "double-free", "stack-overflow")
TERMINAL_LIMIT = 60
TRIES = 5


def number(text):
    """A number as the debugger prints addresses."""
    return int(text.replace("`", ""), 16)


def kernel_of(path):
    return path.parent / "kernel.elf"


def reported_stack(path):
    """{number: (address, text)} of the stack in COM1's report of the same crash."""
    text = serial_of(path).partition("innermost first\n")[2].partition("\n\n")[0]
    rows = re.findall(r"^>?\s+(\d+) ([0-9A-F]{16})  (.*?)(?:  <-.*)?$", text.replace("\r", ""), re.MULTILINE)
    assert rows, "COM1 has no stack"
    return {int(row): (int(address, 16), what) for row, address, what in rows}


def frames(text):
    """[(child stack pointer, return address, call site)] of what k prints."""
    rows = re.findall(r"^(?:[0-9a-f]{2} )?([0-9a-f]{8}`[0-9a-f]{8}) ([0-9a-f]{8}`[0-9a-f]{8}) (.*)$", text, re.MULTILINE)
    return [(number(pointer), number(back), site) for pointer, back, site in rows]


def test_bugcheck_names_code_and_parameters(dump, kd):
    path = dump("story")
    verdict = verdict_of(path)
    text = kd(path, ".bugcheck")
    assert f"Bugcheck code {int(verdict['code'], 16):08X}" in text
    assert [number(word) for word in text.split("Arguments ")[1].split()[:4]] == [int(p, 16) for p in verdict["p"]]


def is_near(shown, said):
    """Whether two sources are the same line: GDB takes the statement, the report the last row of its instruction."""
    return shown == said or shown[0] == said[0] and abs(int(shown[1]) - int(said[1])) <= 2


@pytest.mark.parametrize("scenario", STACKS)
def test_stack_is_that_of_the_report(dump, kd, scenario):
    path = dump(scenario)
    text = kd(path, "k", f"source {TOP / 'tests/kd/frames.py'}")
    found, report = frames(text), reported_stack(path)
    assert len(found) > max(report)
    for row, (address, said) in report.items():
        name, _, place = said.partition(" (")
        site, _, source = found[row][2].partition(" [")
        assert site == name.removesuffix("+0x0")
        assert is_near(source.rstrip("]").split(" @ "), place.rstrip(")").split(":"))
        assert row == 0 or found[row - 1][1] == address
    assert all(pointer % 8 == 0 for pointer, _, _ in found)
    # GDB's own frames, by DWARF and without those of inlined calls, are the same.
    addresses = [int(word, 16) for word in re.findall(r"^frame at ([0-9a-f]+)$", text, re.MULTILINE)]
    backs = [back for _, back, _ in found if back]
    assert backs and addresses[-len(backs):] == backs


def test_registers_are_those_of_the_report(dump, kd):
    path = dump("story")
    report = serial_of(path).partition("The machine")[2]
    said = {name.lower(): int(value, 16) for name, value in re.findall(r"\b(R[A-Z0-9]{1,2})\s+([0-9A-F]{16})", report)}
    text = kd(path, "r", "r eax", ".trap", "? @rsp")
    block, _, rest = text.partition("\neax=")
    shown = {name: int(value, 16) for name, value in re.findall(r"\b(r\w{1,2})=([0-9a-f]{16})", block)}
    assert shown == {name: said[name] for name in shown} and len(shown) == 17
    assert int(rest[:16], 16) == said["rax"] & 0xFFFFFFFF
    assert f"efl={said['rfl']:08x}" in block
    line = re.search(r"secret!SecretStore\+0x[0-9a-f]+:\n.* mov .*ds:(\S+)=(\S+)\n", block)
    assert number(line[1]) == said["rax"]
    slot = int(re.search(r"page file, slot (\d+)", report)[1])      # the page is out: its contents are in the page file
    with open(path.parent / "pagefile.img", "rb") as pages:
        pages.seek(slot * 4096 + said["rax"] % 4096)
        assert int(line[2], 16) == int.from_bytes(pages.read(8), "little")
    assert rest.count(f"rip={said['rip']:016x}") == 1
    assert number(text.rsplit("= ", 1)[1].strip()) == said["rsp"]


def test_memory_is_what_the_dump_holds(dump, kd):
    path = dump("story")
    core, known = Core(path), symbols(kernel_of(dump("story")))
    place = known["KiBugCheckData"]
    data = core.read(place, 40)
    text = kd(path, "db nt!KiBugCheckData L20", "? 1", "dd nt!KiBugCheckData L8", "? 1", "dq nt!KiBugCheckData L5", "? 1",
              "dc nt!KiBugCheckData L4", "? 1", "dps nt!LdrExports L4")
    shown_bytes, doubles, quads, letters, pointers = re.split(r"Evaluate expression: .*\n", text)
    assert bytes.fromhex("".join(re.findall(r"^\S+  ([0-9a-f -]{47})", shown_bytes, re.M)).replace("-", " ")) == data[:32]
    assert [int(word, 16) for word in re.findall(r"\b[0-9a-f]{8}\b(?!`)", re.sub(r"^\S+", "", doubles, flags=re.M))] == [
        int.from_bytes(data[at:at + 4], "little") for at in range(0, 32, 4)]
    assert [number(word) for line in quads.split("\n") for word in line.split()[1:]] == [
        core.u64(place + at) for at in range(0, 40, 8)]
    assert letters.split()[0] == f"{place >> 32:08x}`{place & 0xFFFFFFFF:08x}" and len(letters.split()) >= 5
    by_address = {}
    for name, address in known.items():
        by_address.setdefault(address, set()).add(name)
    rows = re.findall(r"^\S+  (\S+) nt!(\w+)", pointers, re.M)
    assert rows and all(name in by_address[number(address)] for address, name in rows)


def test_symbols_and_instructions_are_those_of_the_file(dump, kd):
    path = dump("story")
    kernel = kernel_of(path)
    known = symbols(kernel)
    text = kd(path, "x nt!KiFind*", "x nt!PsLoadedModule?ist", "? nt!KeAcquireSpinLockRaiseToDpc", "ln nt!KiBugCheckData",
              "uf nt!KeGetCurrentIrql")
    listed = {name: number(address) for address, name in re.findall(r"^(\S+) nt!(\w+)", text.partition("Evaluate")[0], re.M)}
    assert listed == {name: address for name, address in known.items()
                      if name.lower().startswith("kifind") or name == "PsLoadedModuleList"}
    assert number(re.search(r"Evaluate expression: \S+ = (\S+)", text)[1]) == known["KeAcquireSpinLockRaiseToDpc"]
    assert f"({known['KiBugCheckData'] >> 32:08x}`{known['KiBugCheckData'] & 0xFFFFFFFF:08x})   nt!KiBugCheckData" in text
    code = text.partition("nt!KeGetCurrentIrql:\n")[2]
    shown = [(number(address), data) for address, data in re.findall(r"^([0-9a-f`]{17}) ([0-9a-f]+)\s", code, re.M)]
    start = known["KeGetCurrentIrql"]
    listing = subprocess.run(["objdump", "-d", f"--start-address={start}", f"--stop-address={start + 64}", kernel],
                             capture_output=True, text=True, check=True).stdout
    expected = [(int(address, 16), data.replace(" ", "")) for address, data in
                re.findall(r"^\s*([0-9a-f]+):\t((?:[0-9a-f]{2} )+)", listing, re.M)]
    assert shown and shown == expected[:len(shown)] and expected[len(shown) - 1][1] == "c3"


def test_modules_lie_where_their_code_runs(dump, kd):
    path = dump("story")
    text = kd(path, "lm", "lmvm secret")
    start = number(re.search(r"\.text\s+(\S+)", text)[1])
    address, said = reported_stack(path)[0]
    function, _, offset = said.partition(" ")[0].partition("!")[2].partition("+")
    inside = symbols(OUT / "checked/drivers/secret.dbg")[function]
    assert start + inside + int(offset, 16) == address
    listed = re.findall(r"^(\S{17}) (\S{17})   (\S+) ", text.partition("lmvm")[0], re.M)
    assert {"nt", "secret", "fastfat", "virtio-blk"} <= {name for _, _, name in listed}
    assert all(number(first) < number(last) for first, last, _ in listed)


def test_types_have_the_compilers_offsets(dump, kd):
    path = dump("story")
    offsets = dict(re.findall(r"%define (\w+) (\d+)", (OUT / "checked/generated/offsets.inc").read_text()))
    text = kd(path, "dt KTHREAD KernelStack", "dt nt!_KTRAP_FRAME Rip", "dt KTRAP_FRAME EFlags", "dt BUG_STATE KiBug",
              "dt KTHREAD StackBase KiBug.Thread", "? KiBug.Thread")
    for field, name in (("KernelStack", "THREAD_KERNEL_STACK"), ("Rip", "FRAME_RIP"), ("EFlags", "FRAME_EFLAGS"),
                        ("StackBase", "THREAD_STACK_BASE")):
        assert re.search(rf"^   \+0x{int(offsets[name]):03x} {field} +: ", text, re.M), text
    core, thread = Core(path), number(text.rsplit("= ", 1)[1].strip())
    assert f"StackBase                : {core.u64(thread + int(offsets['THREAD_STACK_BASE'])):#x}" in text
    assert "Code                     : 0xd1" in text


def test_contexts_and_frames(dump, kd):
    """A thread that waits: its stack ends where threads begin, for k and for GDB; the crash comes back after it."""
    path = dump("story")
    other = 1 - verdict_of(path)["cpu"]
    core, known = Core(path), symbols(kernel_of(path))
    offsets = dict(re.findall(r"%define (\w+) (\d+)", (OUT / "checked/generated/offsets.inc").read_text()))
    waiting = [int(word.replace("`", ""), 16) for word in
               re.findall(r"^  (\S{17})  .*Waiting", kd(path, "info threads"), re.M)]
    assert len(waiting) >= 5
    text = kd(path, f".thread {waiting[0]:x}", "k", "bt", ".frame 1", "r rip", ".thread", "k 1", f"~{other}s", "~", "r rip")
    stack = core.u64(waiting[0] + int(offsets["THREAD_KERNEL_STACK"]))
    first = frames(text)[0]
    assert first[0] == stack + 0x38 and f"rip={core.u64(stack + 0x30):016x}" in text
    assert "nt!KiThreadStartup" in text.split("#1")[0] and re.search(r"^#\d+ .*KiThreadStartup", text, re.M)
    assert "#0" not in text.partition("Implicit")[2].partition("Implicit")[0]
    assert reported_stack(path)[0][1].split()[0] in text.rpartition("Implicit thread")[2]
    assert re.search(rf"^\. +{other} ", text, re.M) and re.search(rf"^ +{1 - other} ", text, re.M)
    assert known["KiIdleLoop"] <= int(text.rsplit("rip=", 1)[1], 16) < known["KiIdleLoop"] + 0x400


def test_printers_and_plain_gdb(dump):
    """In a plain GDB: our commands without their !, printers, and GDB's own `thread` in all its forms."""
    path = dump("story")
    cpu, kernel = verdict_of(path)["cpu"], kernel_of(path)
    words = ["gdb", "-nx", "-q", "-batch", "-iex", f"python import sys; sys.path.insert(0, '{TOP / 'tools'}')", kernel, path,
             "-ex", "python import kd.target.modules; kd.target.modules.folders.append('" + str(OUT / "checked/drivers") + "')",
             "-ex", "python import kd.plain"]
    for text in ("p SecretLock", "p PsLoadedModuleList", "p *KiBug.Thread", "p KiProcessorBlock[0]->ReadyListHead[3]",
                 "thread apply all -q p $_thread", "thread 2", "thread", "irql", "info threads", "pte nonsense"):
        words += ["-ex", text]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1"))
    assert f"0x1 held by CPU {cpu}, taken by secret!SecretStore+" in done.stdout, done.stdout + done.stderr
    assert re.search(r"= \[[4-9] entries\]", done.stdout) and "thread 'phase 1', Running on CPU" in done.stdout
    assert "= [empty]" in done.stdout and re.search(r"= 2\n.*= 1\n", done.stdout)
    assert "[Switching to thread 2 (" in done.stdout and "[Current thread is 2 (" in done.stdout
    assert "Debugger saved IRQL" in done.stdout and re.search(r"reaper +Waiting +WrTerminated", done.stdout)
    assert done.stderr.endswith("kd: !pte: no symbol 'nonsense'; x nt!*nonsense* lists what there is\n") and "Exception" not in done.stderr


def test_the_debugger_is_compiled_once_and_under_build(dump, kd):
    """With any setting of the user's environment for compiled Python."""
    folder = OUT / "pycache" / str(TOP / "tools/kd/model").lstrip("/")
    for file in folder.glob("regions.*"):
        file.unlink()
    kd(dump("story"), "r")
    assert list(folder.glob("regions.*.pyc"))


def test_the_prompt_remembers_lines_lets_them_be_edited_and_obeys_ctrl_c(dump):
    """As GDB's own prompt does; a line that is typed behind a Ctrl-C is a line of its own."""
    path = dump("story")
    child = pexpect.spawn(str(TOP / "tools/bugcheck"), ["kd", str(path), "--kernel", str(kernel_of(path))], encoding="utf-8", timeout=60,
                          env=os.environ | {"TERM": "dumb"})
    try:
        child.expect("kd> ")
        child.sendline("r rip")
        child.expect(r"rip=(\w{16})\r\n.*kd> ")
        rip = child.match[1]
        child.sendline("\x10")                                 # Ctrl-P, as the arrow up: the line before
        child.expect(rf"rip={rip}\r\n.*kd> ")
        child.sendline("? 1+4\x02\x7f2")                       # Ctrl-B, and the letter before the cursor
        child.expect(r"Evaluate expression: 292 .*kd> ")
        child.sendintr()
        child.expect("kd> ")
        child.sendline("r rsp")
        child.expect(r"rsp=\w{16}\r\n.*kd> ")
        child.sendline("q")
        child.expect(pexpect.EOF)
    finally:
        child.close(force=True)


def test_the_list_of_commands_fits_a_small_terminal(dump, kd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = kd(dump("story"), "help").splitlines()
    assert max(map(len, lines)) < 80
    assert lines[lines.index("!thread [ADDRESS | -t NUMBER] [FLAGS]") + 1].startswith(" " * 35 + "a thread: its state")


def test_every_command_has_help_and_no_answer_is_a_traceback(dump, kd):
    path = dump("story")
    names = [line.split()[0] for line in kd(path, "help").splitlines() if line and not line[0].isspace()]
    assert {"k", "kb", "kn", "r", "u", "ub", "uf", "dt", "dps", "dc", "dq", "ln", "lm", "lmvm", "x", ".trap", ".frame", ".thread",
            ".bugcheck", ".formats", "~", "?", "q", "help", "!analyze", "!pool", "!pte", "!thread", "!irql"} <= set(names)
    pages = kd(path, *(f"help {name}" for name in names))
    for name in names:
        page = re.search(rf"^{re.escape(name)}(?: .*)?\n    \S.*\n\n\S", pages, re.M)
        assert page, f"help {name} says too little"
    harmless = [name for name in names if name != "q" and not name.startswith(".trace")]
    text = kd(path, *(f"{name} 1234" for name in harmless), *(f"{name} fffff123`45678900" for name in harmless),
              *(f"{name} nonsense! (" for name in harmless), status=None)
    assert "cannot be read" in text and "Python Exception" not in text


@pytest.mark.parametrize("words, status, said", [
    ("!nosuch", 1, "unknown command '!nosuch'"), ("dd 1234", 1, "memory at 00000000`00001234 cannot be read: not mapped"),
    ("? nosuchsymbol", 1, "no symbol"), ("? poi(0)", 1, "cannot be read"), ("? 1/0", 1, "division by zero"),
    ("? (1", 1, "parenthesis"), ("dt NOSUCHTYPE", 1, "there is no type 'NOSUCHTYPE'"), (".thread 1234", 1, "no thread at"),
    (".frame 77", 1, "there is no frame 77"), ("~77s", 1, "there is no CPU 77"), ("help nosuch", 1, "there is no command"),
    ("? 0n10 + 10", 0, "= 00000000`0000001a"), ("? fffff800`00000000 + (2*3)", 0, "= fffff800`00000006"),
    ("? poi(nt!KiBugCheckData)", 0, "= 00000000`000000d1"), ("? KiBug.Processor", 0, "Evaluate expression"),
    (".formats 41424344", 0, "ABCD"), ("print \"a;b\"; q; !nosuch", 0, "a;b"), ("dd fffff8a0`ffff0000", 1, "cannot be read"),
    ("ub 0", 1, "no instruction lies before"), ("ub 5", 1, "ub: memory at 00000000`00000000 cannot be read"),
    ("u @rip L0", 1, "u: L0 asks for nothing"), ("dq nt!KiBug L0", 1, "dq: L0 asks for nothing"),
    ("ln 1234", 1, "lies in no module"), ("u 1234", 1, "cannot be read"), ("lmvm nosuch", 1, "the modules are: nt"),
])
def test_answers_and_complaints(dump, kd, words, status, said):
    assert said in kd(dump("story"), words, status=status)


def test_launcher_complains_in_one_line(dump, tmp_path):
    path = dump("story")
    other = tmp_path / "other"
    other.mkdir()
    core = Core(path)
    place = core.offset(symbols(kernel_of(path))["KiThreadStartup"])
    core.data[place] ^= 0xFF
    (tmp_path / "text").write_text("no dump")
    for words, said in (([tmp_path / "none"], "there is no such file"), ([tmp_path / "text"], "not a dump"),
                        (["--live", tmp_path / "none"], "there is no such socket"), (["--live", tmp_path / "text"], "not a socket"),
                        (["--nonsense"], "usage: tools/bugcheck kd"), ([path, "--live", path], "not both"),
                        ([path, "--kernel", tmp_path / "none"], "there is no such kernel"),
                        ([core.save(other / "crash.elf")], "another kernel's dump")):
        text = run_kd([*words, "-c", ".bugcheck"], status=2)
        lines = [line for line in text.splitlines() if "CRC mismatch" not in line]
        assert len(lines) == 1 and said in lines[0] and lines[0].startswith("bugcheck: "), text


@pytest.mark.parametrize("module,text,said", (
    ("everything.py", "def load():\n    raise RuntimeError('a defect')\n", "bugcheck: internal error: RuntimeError: a defect"),
    ("target/session.py", "this is no Python\n", "invalid syntax")))
def test_a_defect_of_the_debugger_is_status_2(dump, tmp_path, module, text, said):
    """GDB goes on when its Python fails, and would leave with 0."""
    tools = tmp_path / "tools"
    shutil.copytree(TOP / "tools", tools)
    (tools / "kd" / module).write_text(text)
    done = subprocess.run([sys.executable, tools / "tool", "cli.kd", dump("paged"), "-c", "k"], capture_output=True, text=True,
                          timeout=120, stdin=subprocess.DEVNULL)
    assert done.returncode == 2 and said in done.stderr, done
    assert "Traceback" not in done.stderr or module == "target/session.py"


def test_names_of_cplusplus_are_its_authors(dump, kd):
    path = dump("cplusplus")
    file = path.parent / "cplusplus.dbg"
    mangled = next(name for name in subprocess.run(["nm", file], capture_output=True, text=True, check=True).stdout.split()
                   if name.startswith("_ZN") and name.endswith("SecretLockE"))
    name = subprocess.run(["c++filt", mangled], capture_output=True, text=True, check=True).stdout.strip()
    text = kd(path, "!spinlock", f"!trace {verdict_of(path)['cpu']} 40", "x cplusplus!*secretlock*", "lm")
    assert f"cplusplus!{name}: held by processor" in text and f"lock cplusplus!{name} acquired by" in text, text
    assert re.search(rf"^ffffffff`\S+ cplusplus!{re.escape(name)}", text, re.M) and "_ZN" not in text, text


def test_closed_descriptors_are_empty_ones(dump):
    """GDB opens pipes of its own: where descriptor 0 was free, it read the names of character sets as commands."""
    for words, said in (("<&-", r"Bugcheck 10\.0\.\d+ .*\n(.*\n)+[01]: kd> "), ("-c .bugcheck <&- 2>&-", "Bugcheck code 000000D1")):
        done = subprocess.run(["sh", "-c", f'exec "$0" kd "$1" {words}', TOP / "tools/bugcheck", dump("story")],
                              capture_output=True, text=True, timeout=120, env=dict(os.environ, OUT=str(OUT)))
        assert done.returncode == 0 and re.match(said, done.stdout), done.stdout + done.stderr
        assert "Undefined command" not in done.stdout + done.stderr


def test_truncated_dump_shows_what_is_there(dump, tmp_path):
    path = dump("story")
    data = path.read_bytes()
    (tmp_path / "kernel.elf").write_bytes(kernel_of(path).read_bytes())
    torn = tmp_path / "crash.elf"
    torn.write_bytes(data[:len(data) * 3 // 4])
    text = run_kd([torn, "-c", ".bugcheck;k;!irql;lm"], status=None)
    assert "truncated" in text and "what is there is shown" in text
    assert "Bugcheck code 000000D1" in text and "nt!StoryStore+" in text and "(DISPATCH_LEVEL)" in text, text
    assert re.search(r"^ffffffff`a\S+ ffffffff`a\S+   secret ", text, re.MULTILINE), text


def test_corrupt_list_is_said_to_be_so(dump, kd, tmp_path):
    path = dump("story")
    core, known = Core(path), symbols(kernel_of(path))
    (tmp_path / "kernel.elf").write_bytes(kernel_of(path).read_bytes())
    first = core.u64(known["PsLoadedModuleList"])
    second = core.u64(first)
    third = core.u64(second)
    core.write_u64(second, first)               # a loop, and a link that is not answered
    text = run_kd([core.save(tmp_path / "crash.elf"), "-c", "lm; p PsLoadedModuleList"])
    assert f"but its Blink is {known['PsLoadedModuleList'] >> 32:08x}`" in text and "nt " in text
    assert "broken after 2 entries" in text
    core.write_u64(second, third)
    core.write_u64(second + 8, 0x1234)
    assert "is corrupt" in run_kd([core.save(tmp_path / "crash.elf"), "-c", "lm"])


def test_200_mutilated_dumps(dump):
    """Flipped bytes and torn ends, by a fixed seed, all in one GDB: nothing hangs, nothing is a defect of ours."""
    path = dump("story")
    script = TOP / "tests/kd/mutilated.py"
    text = run_kd([path, "-c", f"source {script}"], limit=400)
    assert len(re.findall(r"^dump \d+$", text, re.M)) == 200 and "all 200" in text, text[-2000:]
    assert "Python Exception" not in text


def test_live_machine(live):
    """Stopped at the crash: registers and memory are what QMP says; modules loaded since the start have their symbols."""
    run, socket = live("story", seed=5)
    words = ["--live", socket, "-c", "r rip; hbreak KiBugCheckFromTrap; c; r rip; k; ~; lm; dq nt!KiBugCheckData L1; "
             "x secret!SecretStore; bt 3; dq @rsp L4; gdb monitor info registers -a"]
    text = run_kd(words, status=None)
    assert "rip=000000000000fff0" in text                  # at its first instruction
    after = text.partition("Continuing")[2]
    known = symbols(run.machine.files() / "kernel.elf")
    assert f"rip={known['KiBugCheckFromTrap']:016x}" in after
    assert "secret!SecretStore+" in after and "secret!SecretStore\n" in after and "in SecretStore" not in after.split("#3")[1:]
    assert re.search(r"^#0 .*KiBugCheckFromTrap", after, re.M)
    registers = [block for block in after.split("CPU#") if f"RIP={known['KiBugCheckFromTrap']:016x}" in block]
    stack_pointer = int(re.search(r"RSP=([0-9a-f]{16})", registers[0])[1], 16)
    assert f"\n{stack_pointer >> 32:08x}`{stack_pointer & 0xFFFFFFFF:08x}  " in after
    assert frames(after)[0][0] == stack_pointer


def test_prompt_names_the_cpu_and_survives_ctrl_c(dump):
    path = dump("story")
    verdict = verdict_of(path)
    master, terminal = pty.openpty()
    process = subprocess.Popen(["setsid", "--ctty", "--wait", sys.executable, TOP / "tools/tool", "cli.kd", path], stdin=terminal,
                               stdout=terminal, stderr=terminal, env=dict(os.environ, OUT=str(OUT), TERM="dumb"))
    os.close(terminal)
    try:
        said = expect(master, f"{verdict['cpu']}: kd> ")
        os.write(master, b"\x03\n")
        said += expect(master, "kd> ")
        for _ in range(TRIES):                  # GDB's readline drops what is typed while it sees to the Ctrl-C
            os.write(master, b"~0s\n.bugcheck\n")
            said = shown_within(master, "Bugcheck code 000000D1", 5)
            if "Bugcheck code" in said and "0: kd> " in shown_within(master, "kd> ", 5):
                break
        else:
            pytest.fail(f"no answer behind {TRIES} times ~0s and .bugcheck: {said!r}")
        os.write(master, b"q\n")
        assert process.wait(TERMINAL_LIMIT) == 0
    finally:
        process.kill()
        process.wait()
        os.close(master)


def shown_within(master, text, seconds):
    """A terminal's text until this comes, or so many seconds are over."""
    shown, end = "", time.monotonic() + seconds
    while text not in shown and time.monotonic() < end:
        if select.select([master], [], [], 0.2)[0]:
            shown += os.read(master, 4096).decode("utf-8", "replace")
    return shown


def expect(master, text):
    """A terminal's text until this comes."""
    shown = shown_within(master, text, TERMINAL_LIMIT)
    assert text in shown, f"'{text}' did not come: {shown!r}"
    return shown


# ---- What fingers that know WinDbg type ----

HABITS = (                                      # on the dump of `paged`: what is typed, and what is said
    ("g", r"^kd: g: a dump does not run.*tools/bugcheck gdb"),
    ("bp secret!SecretStore", r"^kd: bp: a dump does not run"),
    ("t", r"^kd: t: a dump does not run"),
    ("bl", "No breakpoints"),
    ("dv", r"^Number = 43$"),
    ("kp 1", r"^00 secret!SecretStore\+0x[0-9a-f]+\(Number = 0x2b\) \[secret.c @ \d+\]$"),
    ("vertarget", r"MP \(2 procs\) Checked x64$"),
    ("version", "^GNU gdb"),
    ("!process 0 0", r"\bSystem\b(.|\n)*There is one process"),
    (".ecxr", r"^secret!SecretStore\+0x[0-9a-f]+:$"),
    (".reload /f", r"^\d+ modules; symbols for all$"),
    ("!idt", r"^0e: .*nt!KiVectorStubs\+0xe0 +page fault$"),
    ("!idt 8", r"^08: .*double fault  \(stack IST1\)$"),
    ("!cpuinfo", r"^2 x \S.*, of which the kernel uses: .*Nx"),
    ("!poolfind Secr", r"Allocated\) +Secr\n1 blocks$"),
    ("!poolfind Nix?", r"^0 blocks$"),
    ("~*k", r"^CPU 0  Thread (.|\n)*^CPU 1  Thread "),
    ("~0k", r"^CPU 0  Thread "),
    ("~7k", r"^kd: ~: there is no such CPU"),
    ("du secret!nothing", "^kd: du: "),
    ("du poi(nt!PsLoadedModuleList)+0n48", "^ffff"),
    ("!peb", "^kd: !peb: there is no user mode here$"),
    ("ed 0 1", "^kd: ed: gdb set"),
    ("frobnicate", r"^kd: unknown command 'frobnicate'; `help`"),
    ("!analyse -v", r"^kd: unknown command '!analyse'; is it !analyze\?"),
    ("a", r"^kd: unknown command 'a'"),
    ("lm", r"^ffffffff`\S+ \S+   secret "), ("r rip", "^rip="), ("kv 1", "Args to Child"), ("dt KSPIN_LOCK", "8 bytes"),
)


def test_each_habit_works_or_is_answered_in_one_line(dump):
    path = dump("paged")
    text = run_kd([path, "-c", ";".join(f"gdb echo @@@\\n; {typed}" for typed, _ in HABITS)], status=1)
    answers = [part.strip("\n") for part in text.split("@@@\n")[1:]]
    assert len(answers) == len(HABITS)
    for (typed, wanted), answer in zip(HABITS, answers):
        assert re.search(wanted, answer, re.MULTILINE), f"{typed}: {answer}"
    assert "Ambiguous" not in text and "Undefined" not in text


def test_a_breakpoint_by_its_windbg_name_stops_in_a_driver(live):
    _, socket = live("resident")
    text = run_kd(["--live", socket, "-c", "bp secret!SecretStore; bp nt!KeBugCheckEx; bl; g; r rip; k 1; t; bc *; bl; gu; ~*k"])
    before, after = text.split("Continuing.")[:2]
    assert "<PENDING>" in before and "SecretStore" in before
    assert re.search(r"hit Breakpoint 1, SecretStore \(Number=42\)", after)
    assert re.search(r"^fffff\S+ \S+ secret!SecretStore \[secret.c @ \d+\]", after, re.MULTILINE)
    assert "No breakpoints" in after and "OnDeviceControl" in after
