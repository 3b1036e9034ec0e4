"""tools/bugcheck driver: every verdict and exit status, every complaint, and what foreign sources need to be built."""
import json
import os
import re
import subprocess
import time

import pytest

from build import driverbuild, mkdriver, mksymbols, tryexits
from cli import driver
from host.folderlock import alone_in
from host.paths import OUT, TOP, CannotRun

ENTRY = """NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    %s
}
"""
GOOD = "#include <ntddk.h>\nDRIVER_INITIALIZE DriverEntry;\n" + ENTRY % "return STATUS_SUCCESS;"
SPIN = ("#include <ntddk.h>\nDRIVER_INITIALIZE DriverEntry;\n"
        + ENTRY % 'DbgPrint("I say: \\"%d\\"\\nhalf a line", 5);\n    for (;;) {\n    }')


def tool(*words, cwd=TOP, limit=100):
    """Runs tools/bugcheck driver; returns what it left."""
    return subprocess.run([TOP / "tools/bugcheck", "driver", *map(str, words)], cwd=cwd, capture_output=True, text=True,
                          timeout=limit, check=False, env=dict(os.environ, OUT=str(OUT)))


def write(folder, name, text):
    path = folder / name
    path.write_text(text)
    return path


def last(done):
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("words,complaint", [
    ([], "which file?"), (["nothing.c"], "there is no file 'nothing.c'"), (["nothing.fix"], "there is no file 'nothing.fix'"),
    (["tests"], "must end in"),
    (["Makefile"], "must end in"), (["x.c", "--seed", "y"], "'y' is not a whole number"),
    (["x.c", "--seed", "1", "--free-running"], "not allowed with"), (["x.c", "--cpus", "65"], "from 1 to 64"),
    (["x.c", "--mem", "4"], "from 16"), (["x.c", "--what"], "the options are: --checked --cpus"),
    (["x.c", "--verifier=irql,nonsense"], "no such option: 'nonsense'"),
    (["x.c", "-D", "2=3"], "wants NAME or NAME=VALUE"),
    (["x.c", "--verifier=two words"], "words with commas"), (["x.c", "--timeout", "0"], "from 1 to")])
def test_a_wrong_call_is_told_in_one_line(words, complaint):
    """Bad usage: exit 2, one line on stderr, nothing on stdout."""
    done = tool(*words)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("bugcheck: "), done.stderr
    assert complaint in done.stderr


@pytest.mark.parametrize("name,content,complaint", [
    ("empty.c", "", "'.*empty.c' is empty"), ("blank.c", "  \n\n", "is empty"),
    ("garbage.c", "\x7fELF\0\0\0", "binary content"),
    ("noentry.c", "int x;\n", "there is no DriverEntry"),
    ("commented.c", "/* NTSTATUS DriverEntry() { } */ int x;\n", "there is no DriverEntry"),
    ("mangled.cc", GOOD.replace("DRIVER_INITIALIZE DriverEntry;\n", ""), 'it needs extern "C"'),
    ("syntax.c", GOOD.replace("return STATUS_SUCCESS;", "return STATUS_SUCCESS"), r"expected ‘;’.*\(syntax.c:7\)"),
    ("undeclared.c", GOOD.replace("return STATUS_SUCCESS;", "return ZwCreateKeyOnTheMoon(0);"),
     r"calls ZwCreateKeyOnTheMoon, which is not in the subset \(undeclared.c:6\)"),
    ("near.c", GOOD.replace("return STATUS_SUCCESS;", "KeSetEventt(0); return 0;"),
     r"calls KeSetEventt, which is not in the subset \(near.c:6\); did you mean KeSetEvent\?"),
    ("type.c", GOOD.replace("#include <ntddk.h>\n", "#include <ntddk.h>\nFLT_GADGET g;\n"),
     r"uses the type FLT_GADGET, which is not in the subset \(type.c:2\)"),
    ("header.c", "#include <fltkernel_none.h>\n" + GOOD,
     r"includes fltkernel_none.h, which is not in the subset \(header.c:1\)"),
    ("float.c", GOOD.replace("return STATUS_SUCCESS;", "double x = (int)(LONG_PTR)DriverEntry; return (int)(x * 2.5);"),
     r"floating point.*\(float.c:6\)"),
    ("joined.c", GOOD.replace("return STATUS_SUCCESS;", 'DbgPrint(__FUNCTION__ ":\\n");\n    return ZwNever(5i64);'),
     r"calls ZwNever, which is not in the subset \(joined.c:7\)"),
    ("imported.c", GOOD.replace("DRIVER_INITIALIZE", "NTSTATUS ZwGadget(void);\nDRIVER_INITIALIZE").replace(
        "return STATUS_SUCCESS;", "return ZwGadget();"), r"calls ZwGadget, which is not in the subset \(imported.c:7\)"),
])
def test_what_cannot_be_built_says_why(build, tmp_path, name, content, complaint):
    """result: unbuildable, exit 2, with the name of the call and the user's own line."""
    done = tool(write(tmp_path, name, content))
    assert done.returncode == 2, done.stdout + done.stderr
    assert last(done).startswith("result: unbuildable "), done.stdout
    assert re.search(complaint, last(done)), last(done)
    assert "seed" not in last(done)


def test_compile_errors_are_the_compilers_at_the_users_line(build, tmp_path):
    """The path as the user typed it, the line, the caret; no warning among it."""
    write(tmp_path, "mine.c", GOOD.replace("return STATUS_SUCCESS;", "int *p = 5;\n    return nonsense;"))
    done = tool("mine.c", cwd=tmp_path)
    assert "mine.c:7:" in done.stdout and "return nonsense;" in done.stdout, done.stdout
    assert "warning" not in done.stdout


def test_completed_within_three_seconds(build, tmp_path):
    """Exit 0; from the command to the verdict in seconds when the kernel is built."""
    source = write(tmp_path, "good driver-1ä.c", GOOD)
    tool(source)
    started = time.monotonic()
    done = tool(source)
    seconds = time.monotonic() - started
    assert (done.returncode, last(done)) == (0, "result: completed [seed 1]"), done.stdout + done.stderr
    assert seconds < 3 * max(1, os.getloadavg()[0] / os.cpu_count()), f"{seconds:.1f} s"


def test_bugcheck_verdict(build, tmp_path):
    """Exit 3; code, four parameters, name, module!function+offset and the user's line; the report is above."""
    source = write(tmp_path, "die.c", GOOD.replace("return STATUS_SUCCESS;", "*(volatile int *)0x10 = 1; return 0;"))
    done = tool(source, "--seed", "7")
    assert done.returncode == 3, done.stdout + done.stderr
    number = r"0x[0-9A-F]{16}"
    assert re.fullmatch(rf"result: bugcheck 0x0000007E \({number}, {number}, {number}, {number}\) "
                        r"SYSTEM_THREAD_EXCEPTION_NOT_HANDLED in die!DriverEntry\+0x[0-9a-f]+ \(die.c:6\) \[seed 7\]",
                        last(done)), last(done)
    assert "*** STOP 0x0000007E" in done.stdout
    assert "The four parameters" in done.stdout


def test_deadlock_is_explained(build):
    """Exit 4; each thread with what it waits for, its owner, since when, its stack; the circle in one line."""
    done = tool("tests/drivers/judge/judge_two_mutexes.c")
    assert done.returncode == 4, done.stdout + done.stderr
    waits = re.findall(r"thread (0x\w+) \(judge_two_mutexes!TakeBoth\) waits for KMUTEX \w+ \(judge_two_mutexes!(\w+)\), "
                       r"owned by thread (0x\w+)", done.stdout)
    assert {lock for _, lock, _ in waits} == {"First", "Second"}
    owners = {thread: owner for thread, _, owner in waits}
    assert all(owners[owners[thread]] == thread for thread in owners), owners
    assert re.search(r"since \d+\.\d{3} s after the start, reason Executive", done.stdout)
    assert re.search(r"judge_two_mutexes!TakeBoth\+0x\w+ \(judge_two_mutexes.c:\d+\)", done.stdout)
    assert re.search(r"^result: deadlock thread (0x\w+) .* waits for KMUTEX .*, owned by thread 0x\w+ .*, which waits for KMUTEX"
                     r" .*, owned by thread \1", last(done)), last(done)


def test_uptime_is_drawn_by_the_seed_or_told(build, tmp_path):
    """The driver sees it, by any clock; the times of the run's report count from the machine's start."""
    lines = """LARGE_INTEGER Ticks, System, Later, Now, Hz, Second = {.QuadPart = -10000000};
    KEVENT Never;
    KeQuerySystemTime(&System);
    ULONG64 Interrupt = KeQueryInterruptTime();
    KeQueryTickCount(&Ticks);
    Now = KeQueryPerformanceCounter(&Hz);
    DbgPrint("%d %d %d ", (int)(Ticks.QuadPart * KeQueryTimeIncrement() / 10000000), (int)(Interrupt / 10000000),
             (int)(Now.QuadPart / Hz.QuadPart));
    DbgPrint("%d ", (int)((LONG64)(Ticks.QuadPart * KeQueryTimeIncrement() - Interrupt) / 10000));
    KeDelayExecutionThread(KernelMode, FALSE, &Second);
    KeQuerySystemTime(&Later);
    DbgPrint("%d %d", (int)((Later.QuadPart - System.QuadPart) / 10000), (int)((KeQueryInterruptTime() - Interrupt) / 10000));
    KeInitializeEvent(&Never, NotificationEvent, FALSE);
    return KeWaitForSingleObject(&Never, Executive, KernelMode, FALSE, NULL);"""
    source = write(tmp_path, "uptime.c", "#include <ntddk.h>\nDRIVER_INITIALIZE DriverEntry;\n" + ENTRY % lines)
    for words, seconds in (["--seed", "7"], driver.drawn_uptime(7)), (["--free-running", "--uptime", "100000"], 100000):
        result = json.loads(tool(source, "--json", *words).stdout)
        assert result["result"] == "deadlock", result
        *seen, apart, system, interrupt = map(int, result["output"].split())
        assert len(seen) == 3 and all(seconds <= word < seconds + 60 for word in seen), (seconds, seen)
        assert abs(apart) <= 32, f"tick count and interrupt time differ by {apart} ms"
        assert 1000 <= interrupt < 60000 and abs(system - interrupt) <= 32, (system, interrupt)
        assert 0 < result["waits"][0]["sinceMs"] < result["guestSeconds"] * 1000 < 60000
    drawn = {driver.drawn_uptime(seed) for seed in range(50)}
    assert len(drawn) > 40 and min(drawn) >= 300 and max(drawn) <= 3600
    assert 300 <= driver.drawn_uptime(None) <= 3600


def test_failed_and_undecided_are_exit_1(build, tmp_path):
    """DriverEntry's error with its name; a thread that runs forever, with its place; the host's own limit."""
    done = tool("tests/drivers/judge/judge_entry_fails.c")
    assert done.returncode == 1
    assert re.match(r"result: failed .*0xC000009A \(STATUS_INSUFFICIENT_RESOURCES\)", last(done)), last(done)
    done = tool("tests/drivers/judge/judge_spins.c", "--limit", "1")
    assert done.returncode == 1
    assert re.match(r"result: undecided thread 0x\w+ \(judge_spins!Poll\) is running in judge_spins!Poll\+0x\w+ "
                    r"\(judge_spins.c:\d+\), after [1-9]\.\d+ s on a CPU and 0 requests to drivers \[seed 1\]", last(done)), last(done)
    done = tool("tests/drivers/judge/judge_timer_left.c", "--limit", "1")
    assert (done.returncode, last(done)) == (1, "result: undecided timers, DPCs or work items still queued: 1 [seed 1]"), done.stdout
    done = tool(write(tmp_path, "spin.c", SPIN), "--free-running", "--timeout", "4")
    assert done.returncode == 1
    assert re.fullmatch(r"result: undecided no end within 4 s: thread 0x\w+ \(spin!DriverEntry\) is running in spin!DriverEntry\+0x\w+ "
                        r"\(spin.c:7\), after \d+\.\d+ s on a CPU and 0 requests to drivers \[free-running\]", last(done)), last(done)
    assert 'I say: "5"\nhalf a line\n' in done.stdout


def test_a_machine_that_cannot_answer_is_looked_at_from_outside(build, tmp_path):
    """Every CPU spins with interrupts off: no code looks at the power button."""
    stop = ("#include <ntddk.h>\nDRIVER_INITIALIZE DriverEntry;\n"
            + ENTRY % '__asm__ volatile("cli");\n    for (;;) {\n    }')
    done = tool(write(tmp_path, "stop.c", stop), "--cpus", "1", "--timeout", "4")
    assert (done.returncode, last(done)) == (1, "result: undecided no end within 4 s [seed 1]"), done.stdout
    assert re.search(r"^CPU 0: running at 0x[0-9a-f]+ .*, IRQL 0$", done.stdout, re.M), done.stdout


def test_json_is_one_object(build):
    """--json: nothing else is printed, and all is in it."""
    done = tool("tests/drivers/judge/judge_two_mutexes.c", "--json", "--seed", "3", "--cpus", "2", "--mem", "64")
    result = json.loads(done.stdout)
    assert done.returncode == result["exit"] == 4
    assert {"result", "code", "name", "parameters", "module", "function", "offset", "file", "line", "seed", "output", "files",
            "waits", "text", "notes", "status", "cpus", "mem", "build", "drivers"} <= set(result)
    assert (result["result"], result["seed"], result["cpus"], result["mem"]) == ("deadlock", 3, 2, 64)
    stuck = [wait for wait in result["waits"] if wait["kind"] == "KMUTEX"]
    assert len(stuck) == 2 and {wait["owner"] for wait in stuck} == {wait["thread"] for wait in stuck}
    assert all(wait["stack"] and wait["unlimited"] and wait["sinceMs"] > 0 for wait in stuck)
    broken = json.loads(tool("tests/drivers/judge/judge_unknown_call.c", "--json").stdout)
    assert (broken["result"], broken["exit"]) == ("unbuildable", 2)


def test_a_wait_in_pieces_has_begun_with_the_first(build):
    """A resource is waited for half a second at a time; what counts is when the thread came to it."""
    done = tool("tests/drivers/lock/lock_order_resource.c", "--json")
    result = json.loads(done.stdout)
    waits = [wait for wait in result["waits"] if wait["kind"] == "resource (exclusive)"]
    assert len(waits) == 2
    for wait in waits:
        assert result["guestSeconds"] * 1000 - wait["sinceMs"] >= 950       # it was stuck for a second before that was said


def test_the_same_seed_gives_the_same_end(build):
    """To the last parameter and address."""
    ends = {tool("tests/drivers/judge/judge_two_mutexes.c", "--seed", "11").stdout for _ in range(3)}
    assert len(ends) == 1


def test_foreign_habits(build, tmp_path):
    """Headers in any case and with backslashes, UTF-16, C++, a second file, KdPrint, PAGED_CODE that does not assert."""
    folder = tmp_path / "some folder"
    (folder / "Inc").mkdir(parents=True)
    write(folder / "Inc", "Helper.h", "#pragma once\n#include <WDM.H>\nint Twice(int Number);\n")
    source = ('#include <NtDDK.h>\r\n#include <WinDef.h>\r\nextern "C" {\r\n#include "inc\\helper.H"\r\n'
              "DRIVER_INITIALIZE DriverEntry;\r\n}\r\n")
    source += 'extern "C" ' + (ENTRY % ('KIRQL Old;\n    KeRaiseIrql(DISPATCH_LEVEL, &Old);\n    PAGED_CODE();\n'
                                        '    KeLowerIrql(Old);\n    KdPrint(("twice %d\\n", Twice(21)));\n'
                                        "    return STATUS_SUCCESS;"))
    (folder / "Haupt Treiber.cpp").write_bytes(source.encode("utf-16"))
    write(folder, "helper.c", '#include "Inc/Helper.h"\nint Twice(int Number) { return Number + Number; }\n')
    done = tool("Haupt Treiber.cpp", "helper.c", cwd=folder)
    # C++ declares Twice with C linkage here, as its header is inside extern "C".
    assert done.returncode == 0, done.stdout + done.stderr
    assert "twice 42\n" in done.stdout


def test_two_runs_of_one_name_come_one_after_the_other(build, tmp_path):
    """They share a folder: the second says that it waits; both end well, each with its own output."""
    runs = []
    source = write(tmp_path, "sameness.c", GOOD.replace("return", 'DbgPrint(WORD "\\n");\n    return'))
    folder = driverbuild.folder_of("sameness", [str(source)], "")
    with alone_in(folder):
        for name in ("one", "two"):
            runs.append(subprocess.Popen([TOP / "tools/bugcheck", "driver", source, "--json", "-D", f'WORD="{name}"'], cwd=TOP,
                                         text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ, OUT=str(OUT))))
        for run in runs:
            assert "waiting for its end" in run.stderr.readline()
    for name, run in zip(("one", "two"), runs):
        output, complaints = run.communicate(timeout=100)
        assert run.returncode == 0, output + complaints
        assert json.loads(output)["output"] == f"{name}\n"


def test_each_driver_has_a_folder_of_its_own(tmp_path, monkeypatch):
    """By the paths of its sources and by what it runs under; the same ones come back to theirs."""
    monkeypatch.setattr(driverbuild, "OUT", tmp_path)
    wanted = [("a/x.c", "", "x"), ("b/x.c", "", "x-2"), ("a/x.c", "verifier", "x-verifier"), ("a/x.c", "", "x"),
              ("b/x.c", "verifier", "x-verifier-2"), ("c/x.c", "", "x-3"), ("b/x.c", "", "x-2")]
    assert [driverbuild.folder_of("x", [path], variant).name for path, variant, _ in wanted] == [name for *_, name in wanted]
    assert {path.name for path in (tmp_path / "driver/x").iterdir()} == {driverbuild.OWNER}


def test_a_folder_that_stays_in_use_is_told_in_one_line(tmp_path):
    """The wait for another run has a limit."""
    told = []
    with alone_in(tmp_path / "it"):
        with pytest.raises(CannotRun, match="another run still uses .*/it after 1 s"):
            with alone_in(tmp_path / "it", 1, told.append):
                pass
    assert told == [f"another run uses {tmp_path}/it: waiting for its end"]
    with alone_in(tmp_path / "it"):                                            # and is over with it
        pass


def test_two_drivers_are_loaded_in_order(build, tmp_path):
    """A file with its own DriverEntry is another module."""
    for name in ("first", "second"):
        write(tmp_path, f"{name}.c", GOOD.replace("return", f'DbgPrint("{name}\\n");\n    return'))
    done = tool("second.c", "first.c", "--json", cwd=tmp_path)
    result = json.loads(done.stdout)
    assert (result["output"], result["drivers"]) == ("second\nfirst\n", ["second", "first"])


INTEGRITY = GOOD.replace("DRIVER_INITIALIZE", """static VOID OnProcess(PEPROCESS p, HANDLE h, PPS_CREATE_NOTIFY_INFO i) {
    UNREFERENCED_PARAMETER(p);
    UNREFERENCED_PARAMETER(h);
    UNREFERENCED_PARAMETER(i);
}
DRIVER_INITIALIZE""").replace("return STATUS_SUCCESS;", """NTSTATUS Status = PsSetCreateProcessNotifyRoutineEx(OnProcess, FALSE);
    if (NT_SUCCESS(Status)) {
        Status = PsSetCreateProcessNotifyRoutineEx(OnProcess, TRUE);
    }
    return Status;""")


def test_integritycheck_is_the_flag_of_the_image(build, tmp_path):
    """Without it such a callback is refused, as on Windows; a run under the verifier has it too."""
    source = write(tmp_path, "checked_image.c", INTEGRITY)
    assert re.search(r"result: failed .*0xC0000022 \(STATUS_ACCESS_DENIED\)", last(tool(source)))
    done = tool(source, "--integritycheck", "--verifier")
    assert done.returncode == 0, done.stdout + done.stderr


def test_folders_and_macros_of_the_project(build, tmp_path):
    """-I and -D, also for headers that are spelt in another case."""
    (tmp_path / "in c").mkdir()
    write(tmp_path / "in c", "Project.h", "#define SUM (FIRST + SECOND + THIRD)\n")
    write(tmp_path / "in c", "as_it_is.h", "#define THIRD 0\n")
    heads = '#include "project.H"\n#include <as_it_is.h>\nDRIVER_INITIALIZE'
    source = write(tmp_path, "project.c", GOOD.replace("DRIVER_INITIALIZE", heads).replace(
        "return", 'DbgPrint("%d %s\\n", SUM, TEXT);\n    return'))
    done = tool(source, "-I", "in c", "-DFIRST=40", "-D", "SECOND", '-D', 'TEXT="a b"', cwd=tmp_path)
    assert done.returncode == 0 and "41 a b\n" in done.stdout, done.stdout + done.stderr


def test_all_that_is_missing_is_named(build, tmp_path):
    """Over all sources, calls and headers; each once, with its place."""
    first = write(tmp_path, "first.c", GOOD.replace("return STATUS_SUCCESS;",
                                                    "ZwOne(); ZwTwo(); ZwOne();\n    return ZwThree();"))
    second = write(tmp_path, "second.c", "#include <wdm.h>\nvoid f(void) {\n    ZwFour();\n    ZwTwo();\n}\n")
    assert last(tool(first, second)) == ("result: unbuildable calls ZwOne (first.c:6), ZwTwo (first.c:6), ZwThree (first.c:7), "
                                         "ZwFour (second.c:3), which are not in the subset")
    headers = write(tmp_path, "headers.c", "#include <ntddk.h>\n#include <one.h>\n#include <sub/two.h>\n" + GOOD.replace(
        "return", "ZwGadget();\n    return"))
    assert last(tool(headers)) == ("result: unbuildable includes one.h (headers.c:2), sub/two.h (headers.c:3), which are not in "
                                   "the subset; calls ZwGadget (headers.c:9), which is not in the subset")


def test_lower_case_words_of_exceptions(build, tmp_path):
    """try, except, finally, leave are those of excpt.h in C, and told where they differ."""
    source = write(tmp_path, "lower.c", GOOD.replace("return STATUS_SUCCESS;", """try {
        leave;
    } finally {
        DbgPrint("finally\\n");
    }
    try { return 0; } finally { DbgPrint("never here\\n"); }"""))
    done = tool(source)
    assert done.returncode == 0 and "finally\n" in done.stdout and "never" not in done.stdout.split("result")[0], done.stdout
    assert "lower.c:11: a return inside __try skips __finally here" in done.stdout + done.stderr


def test_with_wants_a_driver(build, tmp_path):
    """--with names a second driver, loaded after the first; a part of the first is none."""
    write(tmp_path, "one.c", GOOD)
    write(tmp_path, "part.c", "int Nothing;\n")
    write(tmp_path, "two.c", GOOD)
    done = tool("--with", "two.c", "one.c", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["drivers"] == ["one", "two"]


def test_a_repair_finds_the_headers_beside_its_source(build, tmp_path):
    """Also as a client."""
    write(tmp_path, "Own.h", "#define BROKEN STATUS_UNSUCCESSFUL\n#define RIGHT STATUS_SUCCESS\n")
    source = GOOD.replace("DRIVER_INITIALIZE", '#include "own.h"\nDRIVER_INITIALIZE').replace("STATUS_SUCCESS", "BROKEN")
    write(tmp_path, "x.c", source)
    write(tmp_path, "x_fixed.c", source.replace("BROKEN", "RIGHT"))
    diff = subprocess.run(["diff", "-u", "x.c", "x_fixed.c"], capture_output=True, text=True, cwd=tmp_path, check=False).stdout
    write(tmp_path, "x.fix", "Works.\n\n" + diff)
    done = tool("x.fix", "--with", "x.fix", cwd=tmp_path)
    assert (done.returncode, last(done)) == (0, "result: completed [seed 1]"), done.stdout


def test_with_is_checked_before_anything_is_built(tmp_path):
    """A --with that is no driver, or a driver that is none, is reported though neither could be compiled."""
    write(tmp_path, "broken.c", GOOD + "\nthis is no C\n")
    write(tmp_path, "part.c", "nor is this\n")
    done = tool("broken.c", "--with", "part.c", cwd=tmp_path)
    assert done.returncode == 2 and "--with part.c: it has no DriverEntry" in done.stderr and not done.stdout, done.stderr
    done = tool("part.c", "--with", "broken.c", cwd=tmp_path)
    assert (done.returncode, last(done)) == (2, "result: unbuildable part.c: there is no DriverEntry"), done.stdout


def test_unload(build, tmp_path):
    """--unload: DriverUnload runs; a driver without one stays, and that is said."""
    done = tool("tests/drivers/judge/judge_worker.c", "--unload")
    assert (done.returncode, last(done)) == (0, "result: completed [seed 1]"), done.stdout
    assert "judge_worker.sys is unloaded" in done.stdout
    done = tool(write(tmp_path, "good.c", GOOD), "--unload")
    assert done.returncode == 0 and "good.sys stays loaded: it has no DriverUnload" in done.stdout, done.stdout


def test_checked_build(build, tmp_path):
    """--checked: PAGED_CODE asserts."""
    source = write(tmp_path, "pagedcode.c", GOOD.replace(
        "return", "KIRQL Old;\n    KeRaiseIrql(DISPATCH_LEVEL, &Old);\n    PAGED_CODE();\n    KeLowerIrql(Old);\n    return"))
    assert tool(source).returncode == 0
    assert tool(source, "--checked").returncode != 0


PRAGMAS = """#include <ntddk.h>
DRIVER_INITIALIZE DriverEntry;
void Listed(void); void Second(void); void Ranged(void); void After(void); void Pushed(void);
#pragma alloc_text(PAGE, Listed, \\
                   Second)
void Listed(void) { }
void Second(void) { }
#pragma code_seg("PAGE")
void Ranged(void) { }
#pragma code_seg(push, "PAGEMORE")
void Pushed(void) { }
#pragma code_seg(pop)
#pragma code_seg()
void After(void) { }
#pragma data_seg("PAGEDATA")
int Initialised = 1;
#pragma data_seg()
int Plain = 2;
__declspec(code_seg("PAGE")) void Declared(void) { }
""" + ENTRY % "return STATUS_SUCCESS;"


def test_section_pragmas_are_honoured(build, tmp_path):
    """alloc_text with several functions over lines, code_seg with push and pop, data_seg, __declspec(code_seg)."""
    source = write(tmp_path, "pragmas.c", PRAGMAS)
    module, = driverbuild.build([str(source)], "free", tmp_path / "out")
    names = {section.index: section.name for section in mkdriver.ElfFile(module.path).sections}
    places = {symbol.name: names.get(symbol.section) for symbol in mkdriver.ElfFile(module.path).symbols()}
    assert {name: places[name] for name in ("Listed", "Second", "Ranged", "Pushed", "After", "Declared", "Initialised",
                                            "Plain", "DriverEntry")} == {
        "Listed": "PAGE", "Second": "PAGE", "Ranged": "PAGE", "Pushed": "PAGEMORE", "After": ".text", "Declared": "PAGE",
        "Initialised": "PAGEDATA", "Plain": ".data", "DriverEntry": ".text"}


@pytest.mark.parametrize("path,name", [("a b.c", "a_b"), ("Größe-1.c", "Grosse-1"), ("9lives.c", "9lives"),
                                       ("名前.c", "driver"), ("ivshmem.c", "ivshmem_2"), ("x" * 63 + ".c", "x" * 63)])
def test_module_names(path, name):
    """Any file name makes a name that the loader takes."""
    assert driverbuild.module_name(path, set(driverbuild.TAKEN)) == name


def test_names_and_numbers_of_drivers_have_limits(tmp_path):
    """A name that the loader cannot keep, and more drivers than the judge watches, are one line, not a shorter name or list."""
    done = tool(write(tmp_path, "x" * 64 + ".c", GOOD))
    assert done.returncode == 2 and done.stderr.splitlines() == [
        f"bugcheck: '{'x' * 64}.c' makes a driver's name of 64 characters, and the loader takes 63: give the file a shorter name"]
    many = [write(tmp_path, f"d{number}.c", GOOD) for number in range(9)]
    done = tool(*many)
    assert done.returncode == 2 and "9 of the files are drivers of their own, and one run takes 8" in done.stderr
    ldr, judge = ((TOP / path).read_text() for path in ("kernel/include/ldr.h", "kernel/judge/judge.h"))
    assert f"#define LDR_NAME_BYTES {driverbuild.NAME_LENGTH + 1} " in ldr
    assert f"#define JUDGE_MAXIMUM_DRIVERS {driverbuild.MOST_DRIVERS}\n" in judge


def test_a_long_name_is_whole_wherever_it_is_told(build, tmp_path):
    """A driver's name of 63 characters is whole in the verdict, in the thread's words and in DriverEntry's registry path."""
    name = "A" + "x" * 61 + "Z"
    entry = ENTRY % r"""HANDLE Thread;
    KeInitializeEvent(&Never, NotificationEvent, FALSE);
    DbgPrint("%wZ\n%wZ\n", &DriverObject->DriverName, RegistryPath);
    return PsCreateSystemThread(&Thread, 0, NULL, NULL, NULL, Start, NULL);"""
    done = tool(write(tmp_path, name + ".c", """#include <ntddk.h>
KEVENT Never;
VOID Start(PVOID Context) { KeWaitForSingleObject(&Never, Executive, KernelMode, FALSE, Context); }
""" + entry), "--json")
    result = json.loads(done.stdout)
    assert (result["result"], result["drivers"]) == ("deadlock", [name]), done.stdout
    assert result["output"].splitlines() == [
        f"\\Driver\\{name}", f"\\Registry\\Machine\\System\\CurrentControlSet\\Services\\{name}"]
    wait = next(wait for wait in result["waits"] if f"{name}!Start" in wait["start"])
    assert f"({name}!Never)" in wait["what"] and any(f"{name}!Start+" in frame for frame in wait["stack"])
    assert f"({name}!Start) waits for" in result["text"] and f"({name}!Never)" in result["text"]


def test_own_archive_round_trip(tmp_path):
    """A packed archive can be unpacked, also by cpio."""
    content = {"drivers/a.sys": b"12345", "symbols/a.sym": b""}
    packed = b"".join(driverbuild.entry(*item) for item in content.items()) + driverbuild.entry("TRAILER!!!", b"")
    assert dict(driverbuild.entries(packed)) == content
    listed = subprocess.run(["cpio", "-t", "--quiet"], input=packed, capture_output=True, check=True).stdout.split()
    assert listed == [b"drivers/a.sys", b"symbols/a.sym"]


def test_options_are_known():
    """`tools/bugcheck help` explains each option that the parser knows."""
    text = subprocess.run([TOP / "tools/bugcheck", "help"], capture_output=True, text=True, check=True).stdout
    part = text[text.index("tools/bugcheck driver"):text.index("tools/bugcheck gdb")]
    for option in ("--seed", "--free-running", "--cpus", "--mem", "--verifier", "--uptime", "--unload", "--checked", "--limit",
                   "--timeout", "--json", "--with", "-I DIR", "-D NAME", "--integritycheck"):
        assert option in part, option
    assert driver.parse(["x.c", "--verifier", "y.c"]).files == ["x.c", "y.c"]


def test_symbols_of_cplusplus_are_named_as_written():
    names = {"_ZL4Freev": "Free", "_ZN12_GLOBAL__N_14LockEi": "Lock", "_ZN4ListIiE3AddEi": "List<int>::Add",
             "_ZZ11DriverEntryENKUlRT_E_clIiEEDaS0_": "DriverEntry::<lambda_1>::operator()<int>", "_ZnwmP3Arg": "operator_new"}
    assert mksymbols.demangled({"DriverEntry", *names}) == names


def test_inline_call_is_blamed_on_the_line_that_makes_it(build):
    """RemoveEntryList is an inline function of our headers: the verdict names the driver's line, not the header's."""
    assert re.search(r"\(list_removed_twice\.c:\d+\)", last(tool("tests/drivers/calls/list_removed_twice.c")))


def test_a_return_out_of_try_is_told():
    """A line that runs otherwise than on Windows is named; one that does not differ is not."""
    source = """
int f(void) {
    __try {                                 /* return */
        if (a) { return 1; }
        for (;;) { if (b) __leave; }
        while (c) __leave;
        __leave;
    } __finally { return 2; }
#if 0
    __try { return 7; } __finally { }
#endif
    __try { for (int i = 0; i < 3; i++) { } if (d) __leave; return 3; } __except (1) { return 4; }
    __try { __try { return 5; } __except (1) { } } __finally { }
    for (;;) { __try { __leave; } __finally { } }
    return 6;
}
"""
    assert [line for line, _ in tryexits.differences(source)] == [4, 5, 6, 13]
