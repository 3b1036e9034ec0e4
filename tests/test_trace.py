"""The event trace: what it says of a crash against COM1 and nm, that seeds repeat it, its drawings, and that the free
build's lock knows nothing of it."""

import json
import re
import subprocess
import sys

import pytest

from build.elffile import ElfFile
from cli import traceshapes
from conftest import ensure_built
from host.paths import OUT, TOP
from kdhelp import dump, run_kd, serial_of, verdict_of      # noqa: F401
from machine.emulators import Machine
from machine.process import Run, hang_report
from picture import Picture

LIMIT = 240
LEAVES = ("irql", "spinlock", "queuedlock")     # the listings that the checked build wraps


def draw(path, folder, *words):
    """Runs tools/cli/trace.py; returns (the Chrome trace, the page, what it said)."""
    done = subprocess.run([sys.executable, TOP / "tools/tool", "cli.trace", path, "--json", folder / "t.json", "--html",
                           folder / "t.html", *words], capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "t.json").read_text())["traceEvents"], (folder / "t.html").read_text(), done.stdout


def kernel_words(build):
    return ("--kernel", OUT / build / "kernel.elf")


def ask(path, command, status=0):
    """kd's output for one command, with the symbols of this build's drivers."""
    return run_kd([path, *kernel_words("checked"), "-c", command], status)


def fatal_address(path):
    return int(verdict_of(path)["p"][0], 16)


def grave(address):
    return f"{address >> 32:08x}`{address & 0xFFFFFFFF:08x}"


def instants(events, name, text):
    """The times of the marks of a name whose words contain a text."""
    return [row["ts"] for row in events if row["ph"] == "i" and row["name"] == name and text in row["args"]["what"]]


def last_before(times, end):
    found = [when for when in times if when < end]
    assert found, "no such event before the end"
    return found[-1]


@pytest.mark.parametrize("build", ("checked", "free"))
def test_the_trace_tells_the_way_to_the_crash(dump, build, tmp_path):
    path = dump("paged", build=build)
    events, page, _ = draw(path, tmp_path, *kernel_words(build))
    verdict, address = verdict_of(path), fatal_address(path)
    end, = instants(events, "BugCheck", f"bugcheck 0x{int(verdict['code'], 16):X} (0x{address:x}")
    fault = last_before(instants(events, "PageFault", f"write of {grave(address)} at IRQL 2"), end)
    trim = last_before(instants(events, "Trim", grave(address & ~0xFFF)), fault)
    block = f"allocate {grave(address)}, 48 bytes of paged pool, tag 'Secr'"
    allocation = last_before(instants(events, "PoolAllocate", block), trim)
    assert allocation < trim < fault < end
    locks = [row for row in events if row.get("cat") == "lock"]
    levels = [row for row in events if row["ph"] == "C" and row["pid"] == verdict["cpu"] + 1 and row["ts"] <= fault]
    if build == "free":
        assert not locks and '"checked":false' in page
        return
    held, = [row for row in locks
             if row["name"] == "secret!SecretLock" and row["args"]["until"] == "the machine stopped"]
    assert held["pid"] == verdict["cpu"] + 1 and trim < held["ts"] < fault
    assert max(levels, key=lambda row: row["ts"])["args"]["IRQL"] == 2
    raised = max(row["ts"] for row in levels if row["args"]["IRQL"] == 2 and row["ts"] <= held["ts"])
    assert trim < raised <= held["ts"]


def test_com1_and_the_debugger_show_the_last_events(dump):
    path = dump("paged", seed=3, by="qmp")      # a clock's interrupt would have lines of its own
    address, place = fatal_address(path), verdict_of(path)["where"].split(" ")[0]
    lines = serial_of(path).partition("What this CPU did last")[2].partition("\n\n")[0].splitlines()[1:]
    assert 4 <= len(lines) <= 8
    assert f"page fault: write of {address:016X}, {place}" in lines[-1]
    assert "lock taken: secret!SecretLock, secret!SecretStore+" in lines[-2]
    assert "IRQL 0 -> 2, secret!SecretStore+" in lines[-3]
    shown = ask(path, f"!trace {verdict_of(path)['cpu']} 3").splitlines()
    assert len(shown) == 4 and f"page fault: write of {grave(address)} at IRQL 2, by {place}" in shown[-2]
    assert "bugcheck 0xD1" in shown[-1]
    assert len(ask(path, "!trace 0 5").splitlines()) == 6
    for wrong, complaint in (("!trace 63", "no CPU 99"), ("!trace 0 0", "must be 1 or more"),
                             ("!trace 0 1 2", "at most")):
        assert complaint in ask(path, wrong, status=1)


def test_a_small_dump_has_the_last_events(dump, tmp_path):
    path = dump("paged", level="small")
    assert path.stat().st_size < 256 << 10
    shown = ask(path, f"!trace {verdict_of(path)['cpu']} 20")
    assert f"page fault: write of {grave(fatal_address(path))} at IRQL 2" in shown
    events, _, said = draw(path, tmp_path, *kernel_words("checked"))
    assert instants(events, "PageFault", grave(fatal_address(path))) and 100 < int(said.split()[0]) < 600


def test_the_lock_is_the_same_listing_in_every_build(tmp_path):
    """Nothing in it is for checks or the trace: the checked build calls it from C, and the free build has no such C."""
    code = {leaf: set() for leaf in LEAVES}
    for build in ("checked", "free"):
        ensure_built(build)
        for leaf in LEAVES:
            path = OUT / build / f"obj/arch/x86_64/{leaf}.asm.o"
            assert subprocess.run(["nm", "-u", path], capture_output=True, text=True, check=True).stdout == ""
            subprocess.run(["objcopy", "-O", "binary", "-j", ".text", path, tmp_path / leaf], check=True)
            code[leaf].add((tmp_path / leaf).read_bytes())
    assert all(len(variants) == 1 for variants in code.values())
    symbols = {symbol.name: symbol.value for symbol in ElfFile(OUT / "free/kernel.elf").symbols()}
    assert not {"KiLockAcquired", "KiLockReleasing", "KiTraceIrql"} & set(symbols)
    start = symbols["KeAcquireSpinLockRaiseToDpc"]
    listing = subprocess.run(["objdump", "-d", "--no-show-raw-insn", f"--start-address={start:#x}", f"--stop-address={start + 64:#x}",
                              OUT / "free/kernel.elf"], capture_output=True, text=True, check=True).stdout
    path = re.findall(r"^\s*[0-9a-f]+:\t(\S+)", listing, re.MULTILINE)
    assert path[:8] == ["mov", "mov", "mov", "mov", "xchg", "test", "jne", "ret"]


def test_one_instruction_reserves_an_event():
    """Two would let an interrupt in between, which then fills the same place; no schedule of QEMU's shows that."""
    ensure_built("free")
    kernel = OUT / "free/kernel.elf"
    offset = subprocess.run(["gdb", "-nx", "-batch", "-ex", "print/x (long)&((KPCR *)0)->Prcb.TraceCursor", kernel],
                            capture_output=True, text=True, check=True, timeout=LIMIT).stdout.split()[-1]
    listing = subprocess.run(["objdump", "-d", "--no-show-raw-insn", kernel], capture_output=True, text=True,
                             check=True).stdout
    users = re.findall(rf"\t(\S+ .*%gs:{offset})$", listing, re.MULTILINE)
    assert len(users) > 15 and all(re.match(r"xadd +%r\w+,", user) for user in users), users


# ---- Repeating ------------------------------------------------------------------------------------------------------

def rings_of(path, folder):
    ask(path, f".tracejson {folder / 'rings'}")
    return json.loads((folder / "rings").read_text())


def crash(folder):
    """A fresh run of the seeded scenario; returns its rings."""
    folder.mkdir()
    with Run(Machine(cmdline="scenario=paged", cpus=2, mem=32, seed=4, leave=False), folder) as run:
        assert run.wait(LIMIT).verdict, "\n".join(hang_report(run, LIMIT))
        run.qmp("dump-guest-memory", paging=True, protocol=f"file:{folder}/core")
    return rings_of(folder / "core", folder)


def test_a_seed_repeats_the_rings(tmp_path):
    ensure_built("checked")
    first, second = crash(tmp_path / "first"), crash(tmp_path / "second")
    assert first["cpus"] == second["cpus"]


# ---- The page -------------------------------------------------------------------------------------------------------

def test_the_page_in_a_browser(dump, tmp_path):
    path = dump("paged")
    _, page, _ = draw(path, tmp_path, *kernel_words("checked"))
    assert not re.search(r"(?:src|href)=|url\(|https?://|@import|fetch\(", page), "the page wants what is elsewhere"
    done = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
         f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1400,1000", "--virtual-time-budget=2000",
         f"--screenshot={tmp_path / 'page.png'}", "--dump-dom",
         f"file://{tmp_path / 't.html'}"], capture_output=True, text=True, timeout=LIMIT)
    dom = done.stdout
    assert done.returncode == 0 and "</html>" in dom, done.stderr[-2000:]
    verdict = verdict_of(path)
    assert re.findall(r'<section class="lane[^"]*" data-cpu="(\d+)"', dom) == ["0", "1"]
    mark = re.search(r'<div id="bugcheck" data-cpu="(\d+)" style="display: block;[^>]*><span[^>]*>([^<]*)', dom)
    assert mark and int(mark[1]) == verdict["cpu"] and mark[2] == f"0xD1 {verdict['name']}"
    cause = re.search(r'<div id="cause" [^>]*style="display: block; left: ([\d.]+)px;"><span>page trimmed', dom)
    assert cause and 190 < float(cause[1]) < 400, "the page opens without its cause in view, at the left"
    assert re.findall(r'<span style="top: [\d.]+px;">([^<]*)', dom)[:3] == ["0 PASSIVE", "2 DISPATCH", "15 HIGH"]
    assert "<h2>How to read this</h2>" in dom
    way = re.search(r'<ul id="way">(.*?)</ul>', dom, re.DOTALL)[1]
    steps = ["allocate", "trim: page", "IRQL raised 0 -&gt; 2", "lock secret!SecretLock acquired", "page fault: write",
             "bugcheck 0xD1"]
    assert [way.find(step) for step in steps] == sorted(way.find(step) for step in steps) and way.find(steps[0]) >= 0
    picture = Picture(tmp_path / "page.png")
    assert (picture.width, picture.height) == (1400, 1000)
    assert len({picture.pixel(x, y) for x in range(0, 1400, 5) for y in range(0, 1000, 5)}) > 10, "the page is blank"


# ---- Shapes ---------------------------------------------------------------------------------------------------------

def trace_of(rows, **more):
    """A trace of one CPU whose events are (time, kind, detail, a, b)."""
    events = [[index, 1000 + time, kind, detail, a, b, 0, 0] for index, (time, kind, detail, a, b) in enumerate(rows)]
    return {"hz": 1000000, "places": {}, "bugcheck": None,
            "cpus": [{"cpu": 0, "running": 7, "idle": 1, "count": len(events), "events": events}], **more}


def test_bars_of_locks_that_cross_do_not_overlap_in_a_row():
    lanes, end = traceshapes.lanes_of(trace_of([
        (0, "Acquire", 2, 0xA, 7), (10, "Contend", 2, 0xB, 7), (20, "Acquire", 2, 0xB, 7), (30, "Release", 2, 0xA, 7),
        (40, "Release", 2, 0xB, 7), (45, "Release", 2, 0xC, 7), (50, "Acquire", 2, 0xD, 7), (60, "Wait", 0, 1, 7)]))
    bars = [(bar.kind, bar.key, bar.start, bar.end, bar.row, bar.is_open) for bar in lanes[0].bars]
    assert bars == [("lock", 0xA, 0, 30, 0, False), ("wait", 0xB, 10, 20, 1, False), ("lock", 0xB, 20, 40, 1, False),
                    ("lock", 0xD, 50, 60, 0, True)]
    assert end == 60


def test_levels_threads_and_interrupts_of_a_lane():
    lanes, _ = traceshapes.lanes_of(trace_of([
        (5, "Raise", 0 | 2 << 8, 0, 0), (10, "Interrupt", 2, 0xD1, 0), (20, "InterruptEnd", 2, 0xD1, 0),
        (30, "Lower", 2 | 0 << 8, 0, 0), (40, "Interrupt", 0, 0x2F, 0), (45, "Dpc", 0, 0xD, 0),
        (50, "DpcEnd", 0, 0xD, 0), (60, "Switch", 5, 3, 7), (70, "InterruptEnd", 0, 0x2F, 0)]))
    lane = lanes[0]
    assert lane.levels == [(0, 0), (0, 2), (5, 13), (15, 2), (25, 0), (35, 2), (65, 0)]
    assert lane.threads == [(0, 55, 3), (55, 65, 7)]
    assert [(bar.name, bar.start, bar.end) for bar in lane.bars] == [
        ("interrupt 0xD1", 5, 15), ("interrupt 0x2F", 35, 55), ("DPC 0x0", 40, 45)]


def test_only_the_last_owner_of_a_block_is_on_the_way():
    size = 64
    rows = [(0, "PoolAllocate", 1, 0x5000, size), (1, "PoolFree", 1, 0x5000, size),
            (2, "PoolAllocate", 1, 0x5000, size), (3, "Trim", 0, 0x5000, 0), (4, "Trim", 0, 0x6000, 0),
            (5, "Acquire", 2, 0xA, 7), (6, "Acquire", 2, 0xB, 7), (7, "Release", 2, 0xB, 7),
            (8, "PageFault", 2 | 2 << 8, 0x5010, 0), (9, "BugCheck", 0, 0xD1, 0x5010)]
    bug = {"code": 0xD1, "name": "N", "parameters": [0x5010, 2, 1, 0], "cpu": 0, "irql": 2}
    assert [event.index for event in traceshapes.milestones(trace_of(rows, bugcheck=bug))] == [2, 3, 5, 8, 9]


@pytest.mark.parametrize("content,complaint", [(None, "there is no such dump"), (b"no core at all", "")])
def test_a_wrong_file_costs_one_line(tmp_path, content, complaint):
    ensure_built("checked")
    path = tmp_path / "wrong.elf"
    if content is not None:
        path.write_bytes(content)
    done = subprocess.run([sys.executable, TOP / "tools/tool", "cli.trace", path], capture_output=True, text=True, timeout=LIMIT)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 2 and len(lines) == 1 and str(path) in lines[0] and complaint in lines[0], done.stderr
    assert not done.stdout
