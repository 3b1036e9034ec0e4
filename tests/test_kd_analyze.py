"""!analyze against what the dying kernel itself said: its verdict names the place, COM1 has the stack; on many
bugchecks.

Each driver of tests/drivers dies in its own way, and the kernel says on COM2 where: "where", or "caller" when the file
system died on the driver's behalf. The debugger, which reads the same memory by other means, must blame the same line.
"""

import fcntl
import functools
import json
import re
import shutil
from collections import namedtuple

import pytest

from build import driverbuild
from cli import driver
from conftest import ensure_built
from corefile import symbols
from docs import driverheads
from host.paths import OUT, TOP
from kdhelp import MACHINE_LIMIT, dump, kd, run_kd, shared_folder, verdict_of       # noqa: F401
from machine.dumpdisk import keep_dump

HEADS = {head.path.stem: head for head in driverheads.all_heads() if head.path.suffix == ".c"}
# name of the driver: (bucket, words of the paragraph for a beginner, words of the advice)
DRIVERS = {
    "print_wide_at_dispatch": ("AV_R_print_wide_at_dispatch!DriverEntry", "IRQL 2 (DISPATCH_LEVEL)", "nonpaged"),
    "fault_null_in_dpc": ("AV_W_(null)_fault_null_in_dpc!Routine", "wrote to 00000000`00000008: a NULL pointer + 0x8",
                          "The pointer is NULL"),
    "fault_unmapped_call": ("AV_CODE_AV_fault_unmapped_call!DriverEntry", "ran code at fffffae0`00000000", ""),
    "fault_null": ("AV_W_(null)_fault_null!DriverEntry", "wrote to 00000000`00000000: a NULL pointer.", "NULL"),
    "trap_divide": ("0x7e_c0000094_trap_divide!DriverEntry", "no handler caught", "instruction"),
    "list_removed_twice": ("0x139_3_CORRUPT_LIST_ENTRY_list_removed_twice!DriverEntry", "corrupt LIST_ENTRY", ""),
    "pool_double_free": ("0xc2_7_pool_double_free!DriverEntry", "called ExFreePoolWithTag", "freed twice"),
    "pool_overrun": ("0x19_20_pool_overrun!DriverEntry", "size", ""),
    "verify_order": ("0xc4_1001_verify_order!TakeBoth", "order", ""),
    "verify_leak": ("0xc4_62_verify_leak!Unload", "its DriverUnload was running", ""),
    "lock_leak_spin": ("0x20_lock_leak_spin!Worker",
                       "the thread that died began there. The thread ended at DISPATCH_LEVEL",
                       "Release the spin lock"),
    "lock_release_resource": ("0xe3_lock_release_resource!Worker", "called ExReleaseResourceLite", "Acquire"),
    "thread_spins_at_dispatch": ("0x133_ISR_thread_spins_at_dispatch!Worker", "DISPATCH_LEVEL", ""),
    "thread_clock_off": ("0x101_thread_clock_off!Worker", "hangs", ""),
    "image_unloaded_under_thread": ("AV_CODE_AV_image_unloaded_under_thread", "after it was unloaded", ""),
    "file_write_at_dispatch": ("AV_R_file_write_at_dispatch!DriverEntry",
                               "It called ZwWriteFile, and so the machine died in fastfat!",
                               "ZwWriteFile may be called at PASSIVE_LEVEL only"),
}
SCENARIOS = ("paged", "pageable-code", "stack-overflow", "wait-in-dpc")
Crash = namedtuple("Crash", "path result")


def number(text):
    return int(text.replace("`", ""), 16)


@functools.cache
def make_kernel():
    ensure_built("free")
    driverbuild.make_kernel("free")


def make(head, folder):
    """Runs one driver into its crash, as `tools/bugcheck driver` does; leaves dump, result and symbols in folder."""
    make_kernel()
    options = driver.parse([str(head.path), *head.options, "--json", "--timeout", str(MACHINE_LIMIT)])
    modules = driverbuild.build([str(head.path)], "free", folder)
    result = driver.run_machine(driver.machine_of(options, modules, folder), folder, options)
    assert keep_dump(folder), f"{head.path.name}: no dump: {driver.result_line(result)}"
    shutil.copy(OUT / "free" / "kernel.elf", folder)
    shutil.copy(OUT / "free" / "drivers" / "fastfat.dbg", folder)
    (folder / "result.json").write_text(json.dumps(result))
    (folder / "analysis").write_text(run_kd([folder / "crash.elf", "-c", "!analyze -v"]))


@pytest.fixture(scope="session")
def crashed(tmp_path_factory):
    """crashed(name) -> Crash of that driver; made once for all workers."""
    root = shared_folder(tmp_path_factory) / "kd-analyze"

    def crash(name):
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / "made").exists():
                make(HEADS[name], folder)
                (folder / "made").write_text("")
        return Crash(folder / "crash.elf", json.loads((folder / "result.json").read_text()))
    return crash


def field(text, name):
    """The value of a field, or None."""
    found = re.search(rf"^{name}:  (.*)$", text, re.MULTILINE)
    return found and found[1]


def part(text, first, last):
    """The text between two titles, in one line."""
    return " ".join(text.partition(first)[2].partition(last)[0].split())


def place(where):
    """(module!function, offset, file, line) of "secret!Store+0x31 (secret.c:42)"."""
    found = re.fullmatch(r"([^+\s]+)(?:\+0x([0-9a-f]+))?(?: \((\S+):(\d+)\))?", where)
    return found[1], int(found[2] or "0", 16), found[3], int(found[4]) if found[4] else None


@pytest.mark.parametrize("name", DRIVERS)
def test_analyze_blames_whom_the_kernel_blamed(crashed, name):
    crash = crashed(name)
    result, text = crash.result, (crash.path.parent / "analysis").read_text()
    bucket, told, advised = DRIVERS[name]
    assert "kd: " not in text
    assert f"{result['name']} ({int(result['code'], 16):x})\n" in text
    assert int(field(text, "BUGCHECK_CODE"), 16) == int(result["code"], 16)
    assert [int(field(text, f"BUGCHECK_P{n}"), 16) for n in range(1, 5)] == [int(p, 16) for p in result["parameters"]]
    symbol, offset, file, line = place(result["caller"] or result["where"])
    shown, _, at = field(text, "SYMBOL_NAME").partition("+")
    assert (shown, int(at or "0", 16)) == (symbol, offset)
    assert field(text, "MODULE_NAME") == symbol.partition("!")[0] and field(text, "IMAGE_NAME") == f"{symbol.partition('!')[0]}.sys"
    assert field(text, "FAILURE_BUCKET_ID") == bucket
    assert field(text, "FILE_IN_CAB") == "crash.elf" and re.fullmatch(r"\{[0-9a-f-]{36}\}",
                                                                      field(text, "FAILURE_ID_HASH"))
    plain, advice = part(text, "In plain words:", "What to do:"), part(text, "What to do:", "\0")
    assert told in plain and advised in advice and advice[-1] in ".?"
    if line:
        assert f"{symbol}, {file} line {line}" in plain


@pytest.mark.parametrize("name", [name for name in DRIVERS
                                  if name not in ("verify_leak", "image_unloaded_under_thread")])
def test_analyze_shows_the_guilty_line_of_the_source(crashed, name):
    crash = crashed(name)
    text = (crash.path.parent / "analysis").read_text()
    _, _, file, line = place(crash.result["caller"] or crash.result["where"])
    shown = int(field(text, "FAULTING_SOURCE_LINE_NUMBER"))
    assert abs(shown - line) <= 1 and field(text, "FAULTING_SOURCE_FILE").endswith(f"/{file}")
    source = HEADS[name].path.read_text().splitlines()
    row = re.search(r"^> +(\d+):(.*)$", text, re.MULTILINE)
    assert int(row[1]) == shown and row[2].strip() == source[shown - 1].strip()


@pytest.mark.parametrize("name", [name for name in DRIVERS if name != "thread_clock_off"])
def test_analyze_has_the_stack_of_COM1(crashed, name):
    crash = crashed(name)
    text = (crash.path.parent / "analysis").read_text()
    sites = re.findall(r"^[0-9a-f`?]{17} : (?:[0-9a-f`?]{17} ){4}: (\S+)", text, re.MULTILINE)
    rows = [row for row in crash.result["report"] if re.match(r">?\s+\d+ [0-9A-F]{16}  ", row)]
    said = [re.match(r">?\s+\d+ [0-9A-F]{16}  (\S+)", row)[1] for row in rows]
    assert said and sites
    for shown, told in zip(sites, said):
        if "!" in told:
            assert shown.partition("+")[0] == told.partition("+")[0], (sites, said)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_analyze_of_a_scenario(dump, kd, scenario):
    path = dump(scenario)
    text, verdict = kd(path, "!analyze -v"), verdict_of(path)
    symbol, offset, _, line = place(verdict["where"])
    shown, _, at = field(text, "SYMBOL_NAME").partition("+")
    assert (shown, int(at, 16)) == (symbol, offset)
    assert f"line {line}" in part(text, "In plain words:", "What to do:")


def test_analyze_shows_trap_frame_instruction_and_effective_address(dump, kd):
    """The registers are those of COM1, and what the instruction reaches is the first parameter."""
    path = dump("paged")
    text, verdict = kd(path, "!analyze -v"), verdict_of(path)
    serial = (path.parent / "serial.log").read_text()
    block = text.partition("TRAP_FRAME:")[2].partition("\n\n")[0]
    for name in ("RAX", "RBX", "RSI", "RSP", "RBP", "R12"):
        said = re.search(rf"\b{name} +([0-9A-F]{{16}})", serial)[1]
        assert re.search(rf"\b{name.lower()}={said.lower()}\b", block), (name, block)
    assert f"ds:{number(verdict['p'][0]) >> 32:08x}`{number(verdict['p'][0]) & 0xFFFFFFFF:08x}=" in block
    assert field(text, "WRITE_ADDRESS") == f"{number(verdict['p'][0]):016x} paged pool"
    assert field(text, "CURRENT_IRQL") == "2" and field(text, "PROCESS_NAME") == "System"


def test_analyze_says_that_the_code_itself_was_paged(dump, kd):
    path = dump("pageable-code")
    text, verdict = kd(path, "!analyze -v"), verdict_of(path)
    assert field(text, "FAILURE_BUCKET_ID").startswith("AV_CODE_AV_PAGED_IP_pagecode!")
    assert field(text, "EXECUTE_ADDRESS").startswith(f"{number(verdict['p'][0]):016x}")
    assert "PAGE" in field(text, "IP_IN_PAGED_CODE") and field(text, "FAILED_INSTRUCTION_ADDRESS")


def test_analyze_shows_exception_and_context_records(crashed):
    crash = crashed("fault_null")
    text = (crash.path.parent / "analysis").read_text()
    known = symbols(crash.path.parent / "fault_null.dbg")
    assert known["DriverEntry"] == 0
    record, context = (number(crash.result["parameters"][n]) for n in (2, 3))
    assert f"EXCEPTION_RECORD:  {record:016x} -- (.exr {record:#x})" in text
    assert f"ExceptionAddress: {number(crash.result['parameters'][1]):016x} (fault_null!DriverEntry)" in text
    assert "ExceptionCode: c0000005 (STATUS_ACCESS_VIOLATION" in text
    assert "Attempt to write to address 0000000000000000" in text
    assert f"CONTEXT:  {context:016x} -- (.cxr {context:#x})" in text
    assert "mov     dword ptr ds:0x0,0x1 ds:00000000`00000000=????????" in text
    assert field(text, "WRITE_ADDRESS").startswith("0000000000000000")


def test_analyze_of_a_file_call_says_what_the_file_system_touched(crashed):
    """COM1 says it too: a view of the cache, whose PTE points to a prototype and to no slot of the page file."""
    crash = crashed("file_write_at_dispatch")
    text = (crash.path.parent / "analysis").read_text()
    assert "a view of a cached page, mapped and not yet touched" in " ".join(" ".join(crash.result["report"]).split())
    assert "system cache, a view of a cached page, mapped and not yet touched" in text and "page file slot" not in text
    assert field(text, "READ_ADDRESS") == f"{number(crash.result['parameters'][0]):016x} system cache"


def test_same_cause_has_the_same_hash_and_another_has_another(crashed):
    hashes = {name: field((crashed(name).path.parent / "analysis").read_text(), "FAILURE_ID_HASH") for name in DRIVERS}
    assert len(set(hashes.values())) == len(hashes)
    again = run_kd([crashed("fault_null").path, "-c", "!analyze"])
    assert field(again, "FAILURE_ID_HASH") == hashes["fault_null"]


def table():
    """{code: name} of the kernel's table of bugchecks."""
    text = (TOP / "kernel/include/ddk/bugcodes.def").read_text()
    return {int(code, 16): name for code, name in re.findall(r"^BUGCODE\((0x[0-9A-Fa-f]+), (\w+),", text, re.MULTILINE)}


def test_show_explains_codes_of_the_table(crashed):
    known = table()
    codes = [0x0A, 0xD1, 0x50, 0x7F, 0x139, 0xC2, 0x19, 0xC4, 0x133, 0x20, 0xE3, 0x3B, 0x7E, 0x101, 0x7A]
    text = run_kd([crashed("fault_null").path, "-c", ";".join(f"!analyze -show {code:x}" for code in codes)])
    for code in codes:
        assert f"{known[code]} ({code:x})\n" in text
    assert text.count("Arg4: 0000000000000000") == len(codes) and "kd: " not in text


def test_show_with_parameters_decodes_them(crashed):
    text = run_kd([crashed("fault_null").path, "-c", "!analyze -show c2 7 0 0 0;!analyze -show 139 3"])
    assert "Arg1: 0000000000000007, " in text and "already free" in text and "corrupt LIST_ENTRY" in text
    text = run_kd([crashed("fault_null").path, "-c", "!analyze -show 777;!analyze -w"], status=1)
    assert "0x777 is no bugcheck" in text and "usage: !analyze" in text


def test_small_dump_has_all_that_analyze_needs(dump, kd):
    path = dump("paged", level="small", cpus=4)
    text, verdict = kd(path, "!analyze -v", status=None), verdict_of(path)
    symbol, offset, _, _ = place(verdict["where"])
    assert field(text, "SYMBOL_NAME") == f"{symbol}+{offset:x}" and "Value: small" in text
    assert f"AV_W_{symbol}" == field(text, "FAILURE_BUCKET_ID") and field(text, "TRAP_FRAME")
    assert "STACK_TEXT" in text and "FAULTING_SOURCE_CODE" in text
    words = re.search(r"^Arg1: .*", text, re.MULTILINE)[0]
    assert "paged pool, tag 'Secr', paged out, page file slot 0x" in words, words
    assert "annot access" not in text and "cannot be read" not in text, text


def test_help_explains_each_command(crashed):
    names = ("!analyze", "!di", "!crash", "!object", "!handle", "!irp", "!file", "!devobj", "!drvobj", "!imports",
             "!strings",
             ".exr", ".cxr")
    text = run_kd([crashed("fault_null").path, "-c", ";".join(f"help {name}" for name in names)])
    for name in names:
        page = re.search(rf"^{re.escape(name)}.*\n    (\S.*)\n\n(\S.*)", text, re.MULTILINE)
        assert page and len(page[2]) > 20, name
