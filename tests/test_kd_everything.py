"""Every command of the debugger on many different bugchecks, in both builds, on 1 to 16 CPUs: none fails in itself, and what
they all begin with (the code, the parameters, whose fault) agrees with the verdict on COM2."""

import re
import subprocess

import pytest

from docs import tables
from host.paths import OUT
from kdhelp import dump, kd, live, run_kd, serial_of, verdict_of    # noqa: F401

#        what crashes: (test or scenario, CPUs, build, level)
CRASHES = [("crash_D1_page_file_written", 1, "checked", "full"), ("crash_A_dispatcher_lock_held", 4, "checked", "full"),
           ("crash_D3_kernel_reads_a_paged_out_part_of_a_driver", 2, "free", "full"),
           ("crash_CE_unloaded_driver_called", 2, "checked", "full"), ("crash_50_freed_page_written", 2, "free", "full"),
           ("crash_7E_division_by_zero", 2, "checked", "full"), ("crash_1E_undefined_instruction_in_a_DPC", 2, "checked", "full"),
           ("crash_3D_undefined_instruction_in_an_interrupt_routine", 2, "free", "full"),
           ("crash_BE_constant_written", 2, "checked", "small"), ("crash_FC_data_executed", 2, "checked", "full"),
           ("crash_7F_stack_overflow", 2, "free", "full"), ("crash_139_list_entry_removed_twice", 16, "checked", "full"),
           ("crash_19_header_of_a_freed_block_overwritten", 2, "checked", "full"),
           ("crash_C2_user_address_freed", 2, "free", "small"), ("crash_thread_ends_with_a_mutex", 2, "checked", "full"),
           ("wait-in-dpc", 2, "checked", "full")]
BUG = "poi(nt!KiBugCheckData+8)"
# The argument of a command that needs one; "" where it needs none.
WITH = {"!devobj": "0", "!drvobj": "\\\\Driver\\\\Secret", "!event": BUG, "!fastmutex": BUG, "!file": BUG, "!irp": "0",
        "!mutex": BUG, "!object": "\\\\", "!pfn": "100", "!pool": BUG, "!poolval": BUG, "!pte": BUG, "!pushlock": BUG,
        "!semaphore": BUG, "!strings": "-m nt -n 40", "!imports": "-a secret", "!thread": "poi(nt!KiBug+90)", ".cxr": BUG,
        ".exr": BUG, ".formats": "d1", "?": "nt!KiBug+10", "db": "nt!KiBug", "dc": "nt!KiBug", "dd": "nt!KiBug", "dps": "@rsp L20",
        "dq": "@rsp", "dt": "KPRCB poi(nt!KiProcessorBlock)", "lmvm": "nt", "ln": "nt!KeBugCheckEx", "u": "nt!KeBugCheckEx",
        "ub": "nt!KiTrap+30", "uf": "nt!KeBugCheckEx", "x": "nt!KiBug*", "!analyze": "-v", "help": "!pool"}
WITH |= {"da": "nt!KiBug", "du": "nt!KiBug", "bp": "nt!KeBugCheckEx", "bc": "99", "bd": "99", "be": "99", "!poolfind": "Secr 1"}
LEFT_OUT = {"q", "qq", "g", "t", "gu", ".tracejson", "to", "back", "forward", "events", "snapshot", "why"}
# The end; what moves the machine; a file; another launcher.
COMMANDS = sorted(set(tables.registered()) - LEFT_OUT)


def sections(text):
    """{command: what it printed}, of output with a mark in front of each."""
    parts = re.split(r"^== (\S+)$", text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2]))


def everything():
    return ";".join(f"gdb echo == {name}\\n; {name} {WITH.get(name, '')}" for name in COMMANDS)


@pytest.mark.parametrize("what,cpus,build,level", CRASHES, ids=[row[0].removeprefix("crash_") for row in CRASHES])
def test_every_command_on_a_dump(what, cpus, build, level, dump):       # noqa: F811
    named = {"test": what} if what.startswith("crash_") else {"scenario": what}
    path = dump(**named, cpus=cpus, build=build, level=level)
    verdict = verdict_of(path)
    said = sections(run_kd([path, "-c", everything()], status=None))
    assert set(said) == set(COMMANDS), set(COMMANDS) - set(said)
    silent = [name for name in COMMANDS if not said[name].strip()]
    assert not silent, f"these say nothing at all: {silent}"
    code, parameters = int(verdict["code"], 16), [int(text, 16) for text in verdict["p"]]
    words = said[".bugcheck"].replace("`", "").split()
    assert int(words[2], 16) == code and [int(word, 16) for word in words[4:8]] == parameters, said[".bugcheck"]
    page = said["!analyze"]
    assert f"{verdict['name']} ({code:x})" in page
    assert [int(text, 16) for text in re.findall(r"^Arg\d: ([0-9a-f]{16})", page, re.M)] == parameters
    blamed = re.search(r"^MODULE_NAME:  (\S+)$", page, re.M)[1]
    assert blamed == (verdict.get("where") or "").split("!")[0].split("+")[0], (verdict["where"], page[-2500:])
    assert "What to do:" in page and "In plain words:" in page
    names = subprocess.run(["nm", OUT / build / "kernel.elf"], capture_output=True, text=True, check=True).stdout
    place = re.search(r"\(([0-9a-f`]{17})\)", said["ln"])[1].replace("`", "")
    assert re.search(rf"^{place} T KeBugCheckEx$", names, re.M), said["ln"]
    assert len(re.findall(r"^ *\d+ +[0-9a-f]{16} ", said["!running"], re.M)) <= cpus


def test_every_command_on_a_live_machine(live):                         # noqa: F811
    run, socket = live("paged", cpus=2)
    said = sections(run_kd(["--live", socket, "-c", f"gdb thbreak KiBugCheckFromTrap; gdb continue; {everything()}"], status=None))
    assert set(said) == set(COMMANDS), set(COMMANDS) - set(said)
    assert "has not crashed" in said["!analyze"] and "nt!KiBugCheckFromTrap" in said["k"], said["k"]
