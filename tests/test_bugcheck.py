"""How the machine dies: each bugcheck with its code and all four parameters, and a report that survives any state.

tests/kernel/crash_*.c say on COM2 what they are about to cause; the verdict of the dying kernel must say the same.
"""

import re
from pathlib import Path

import pytest

from picture import Picture

SOURCES = [Path(__file__).parent / "kernel" / f"crash_{name}.c" for name in ("bugcheck", "pool")]
NAMES = ["crash_" + name for source in SOURCES
         for name in re.findall(r"^KTEST_CRASH\((\w+)\)", source.read_text(), re.MULTILINE)]
NESTED = {"crash_second_fault_while_dying", "crash_third_fault_while_dying"}
ANNOUNCE_NOTHING = NESTED | {"crash_bugcheck_with_callbacks"}     # test_kernel.py reads what its callbacks say
CHECKED_ONLY = {"crash_1E_assertion"}
WIDTH = 110
PARTS = ("The four parameters", "Stack of CPU", "Who spins", "What the verifier knows", "The machine", "What this CPU did last",
         "What each CPU was doing", "What to change")                # in this order
AT_TIMES = ("Who spins", "What the verifier knows", "What this CPU did last")


def expected(channel):
    """The code and the four parameters that the test announced; None for what may be anything."""
    words = re.search(r"^# expect (.*)$", channel, re.MULTILINE)[1].split()
    return [None if word == "any" else int(word, 16) for word in words]


def assert_report(serial, verdict):
    """The report on COM1 is whole: each part is there, in lines that fit."""
    report = serial[serial.index("*** STOP"):]
    assert f"*** STOP {verdict['code']} {verdict['name']}" in report
    assert [part for part in PARTS if part in report or part not in AT_TIMES] == re.findall("|".join(PARTS), report)
    assert report.count("*** STOP") == 1
    assert max(map(len, report.splitlines())) <= WIDTH
    assert "did not answer" not in report


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ANNOUNCE_NOTHING])
@pytest.mark.parametrize("build", ("checked", "free"))
def test_stops_with_code_and_parameters(boot, build, name):
    if build == "free" and name in CHECKED_ONLY:
        pytest.skip("assertions are in the checked build only")
    append = "load=secret" if "unloaded_driver" in name else ""
    outcome = boot(test=name, build=build, cpus=4, append=append)
    code, *parameters = expected(outcome.channel)
    outcome.assert_bugcheck(code, **dict(zip(("p1", "p2", "p3", "p4"), parameters)), expected=False)
    assert_report(outcome.serial, outcome.verdict)


def test_names_function_and_line(boot):
    outcome = boot(test="crash_D1_page_file_written")
    assert re.match(r"ktest!Write\+0x[0-9a-f]+ \(crash_bugcheck\.c:\d+\)$", outcome.verdict["where"])
    words = " ".join(outcome.serial.split())
    assert re.search(r"write to paged pool, tag 'Test', .* of driver ktest \+ 0x40; the page is not present: "
                     r"it is in the page file, slot \d+", words)
    assert "verifier" in outcome.serial


def test_a_called_address_shows_its_caller(boot):
    report = boot(test="crash_D1_paged_out_address_called").serial
    assert re.search(r"^.  1 [0-9A-F]{16}  ktest!crash_D1_paged_out_address_called", report, re.MULTILINE)


def test_other_cpus_show_what_they_did_and_the_lock_they_hold(boot):
    report = boot(test="crash_A_dispatcher_lock_held", cpus=4).serial
    assert len(re.findall(r"^.  [0-3]  IRQL +\d+ ", report, re.MULTILINE)) == 4
    words = " ".join(report.split())
    assert re.search(r"holds the spin lock KiDispatcherLock.*taken by ktest!crash_A_dispatcher_lock_held", words)


def test_a_stack_overflow_is_named(boot):
    assert "guard page below the stack of thread 'test'" in boot(test="crash_7F_stack_overflow").serial


def test_a_second_fault_prints_less(boot):
    outcome = boot(test="crash_second_fault_while_dying", cpus=2)
    outcome.assert_bugcheck(0xE2, p1=1, p2=2, p3=3, p4=4, expected=False)
    assert "while dying: 0x0000007E" in outcome.serial
    assert "What to change" not in outcome.serial


def test_a_third_fault_halts(start):
    from machine.emulators import Machine
    run = start(Machine(cmdline="test=crash_third_fault_while_dying", cpus=2, leave=True))
    outcome = run.wait(8)
    run.end()
    assert outcome.ended == "limit"
    assert outcome.verdict is None
    assert "while dying: 0x0000007E" in outcome.serial


@pytest.mark.parametrize("cpus", (1, 16))
def test_any_number_of_cpus(boot, cpus):
    outcome = boot(test="crash_E2_last_cpu", cpus=cpus)
    outcome.assert_bugcheck(0xE2, p1=1, p2=2, p3=3, p4=4, expected=False)
    assert outcome.verdict["cpu"] == cpus - 1
    assert_report(outcome.serial, outcome.verdict)


def test_undefined_behaviour_is_reported_and_fails(boot):
    outcome = boot(test="crash_E2_after_undefined_behaviour", build="ubsan", finds_undefined=True)
    assert re.search(r"^ubsan: tests/kernel/crash_bugcheck\.c:\d+: an addition overflows", outcome.serial, re.MULTILINE)
    assert re.search(r"^ubsan: tests/kernel/crash_bugcheck\.c:\d+: a shift by too much", outcome.serial, re.MULTILINE)
    with pytest.raises(pytest.fail.Exception, match="undefined behaviour"):
        boot(test="crash_E2_after_undefined_behaviour", build="ubsan")


def test_the_screen_says_what_the_serial_port_says(boot):
    outcome = boot(test="crash_D1_page_file_written", screen=True, append="hold")
    picture = Picture(outcome.screen)
    assert (picture.width, picture.height) == (1024, 768)
    words = " ".join(picture.text())
    report = outcome.serial[outcome.serial.index("*** STOP"):]
    for part in ("The four parameters", "The machine", "What each CPU was doing", "What to change"):
        assert part in words and part in report
    for value in outcome.verdict["p"]:
        assert value[2:] in words
    assert outcome.verdict["where"] in words
    assert "the page is not present: it is in the page file, slot" in " ".join(words.split())
    assert "verifier" in words

