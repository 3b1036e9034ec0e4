"""The module loader in a running kernel: what is damaged, foreign or unresolved is refused with its name and the
reason, and the boot goes on; what is good gets its constructors, its PAGE and INIT sections, and its end."""

import re

import pytest

from conftest import OUT, ensure_built
from modules import Editor, make_archive, make_driver, pack_archive

R_GOTPCREL = 9

HEADER = """
#include <ntddk.h>
DRIVER_INITIALIZE DriverEntry;
"""


@pytest.fixture
def checked():
    """The folder of the checked build, made."""
    ensure_built("checked")
    return OUT / "checked"


def archive_option(path):
    """QEMU takes the last of two archives."""
    return ("-initrd", str(path))


def refusals(outcome):
    """{module: reason} of what COM1 says."""
    return dict(re.findall(r"^ldr: (\S+)\.sys: refused: (.*?)\r?$", outcome.serial, re.MULTILINE))


def relocation_of(editor, table, number=0):
    return editor.content(table)[0] + 24 * number


def damaged_modules(good):
    """{name: (bytes, what the reason must hold)}"""
    editor = Editor(good)
    length = len(good)
    result = {f"badcut{n}": (good[:length * n // 8], "truncated|ELF") for n in range(8)}
    result["badcut8"] = (good[:-1], "truncated|no end")
    foreign = {
        "badtext": (b"#!/bin/sh\necho this is no driver\n" * 10, "not a 64-bit little-endian ELF"),
        "badzero": (bytes(4096), "not a 64-bit little-endian ELF"),
        "badclass": (editor.edit(lambda e: e.put("B", 4, 1)), "not a 64-bit little-endian ELF"),
        "badmachine": (editor.edit(lambda e: e.put("H", 0x12, 183)), "machine 183, not for x86-64"),
        "badtype": (editor.edit(lambda e: e.put("H", 0x10, 2)), "ELF type 2, not a relocatable"),
    }
    tables = {
        "badcount": (editor.edit(lambda e: e.put("H", 0x3C, 0xFFFF)), "damaged section table"),
        "badtable": (editor.edit(lambda e: e.put("Q", 0x28, 1 << 63)), "section table lies beyond"),
        "badnames": (editor.edit(lambda e: e.put("H", 0x3E, 1)), "no string table"),
        "badextent": (editor.edit(lambda e: e.put("Q", e.section(".text") + 24, 1 << 40)), "lies beyond the end"),
        "badsize": (editor.edit(lambda e: e.put("Q", e.section(".bss") + 32, 1 << 45)), "larger than|outside"),
        "badalign": (editor.edit(lambda e: e.put("Q", e.section(".data") + 48, 12345)), "alignment 12345"),
        "badwx": (editor.edit(lambda e: e.put("Q", e.section(".text") + 8, 7)), "both writable and executable"),
        "badend": (editor.edit(lambda e: e.put("B", sum(e.content(".strtab")) - 1, 1)), "has no end"),
        "badsymbol": (editor.edit(lambda e: e.put("I", e.content(".symtab")[0] + 24, 1 << 31)), "no name within"),
        "badvalue": (editor.edit(lambda e: e.put("Q", e.content(".symtab")[0] + 32, 1 << 40)), "outside its section"),
    }
    relocations = {
        "badoffset": (editor.edit(lambda e: e.put("Q", relocation_of(e, ".rela.text"), 1 << 32)),
                      "outside the section"),
        "badedge": (editor.edit(lambda e: e.put("Q", relocation_of(e, ".rela.text"), e.content(".text")[1] - 3)),
                    "outside the section"),
        "badkind": (editor.edit(lambda e: e.put("I", relocation_of(e, ".rela.text") + 8, R_GOTPCREL)),
                    "relocation type 9 .* not supported"),
        "badindex": (editor.edit(lambda e: e.put("I", relocation_of(e, ".rela.text") + 12, 1 << 30)), "names symbol"),
        "badaddend": (editor.edit(lambda e: e.put("Q", relocation_of(e, ".rela.text") + 16, 1 << 40)), "too far away"),
        "badimport": (good.replace(b"\0DbgPrint\0", b"\0FooPrint\0"), "unresolved import 'FooPrint'"),
        "badentry": (good.replace(b"\0DriverEntry\0", b"\0DriverExit_\0"), "no function DriverEntry"),
    }
    return result | foreign | tables | relocations


@pytest.mark.parametrize("name", ["checked", "free", "ubsan"])
def test_bad_modules_are_refused_with_a_reason(boot, tmp_path, name):
    ensure_built(name)
    good = make_driver(tmp_path, "good", HEADER + """
        static ULONG Value = 3, Zeroed[10];
        NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
            DbgPrint("good: %p %wZ %u %u\\n", Driver, Path, Value, Zeroed[Value]);
            return STATUS_SUCCESS;
        }""")
    bad = damaged_modules(good.read_bytes())
    archive = make_archive(tmp_path / "bad.cpio", OUT / name,
                           {module: content for module, (content, _) in bad.items()} | {"good": good})
    outcome = boot("resident", build=name, append="load=bad*,missing,good", extra=archive_option(archive))
    outcome.assert_completed()
    refused = refusals(outcome)
    for module, (_, reason) in bad.items():
        assert module in refused, f"{module} was not refused"
        assert re.search(reason, refused[module]), f"{module}: {refused[module]}"
    assert refused["missing"] == "not in the boot archive"
    assert re.search(r"^good: [0-9A-F]{16} \\Registry\\Machine\\System\\CurrentControlSet\\Services\\good 3 0",
                     outcome.serial, re.MULTILINE)


def test_name_is_loaded_once(boot, checked, tmp_path):
    good = make_driver(tmp_path, "good", HEADER + """
        NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
            return Driver == NULL || Path == NULL ? STATUS_UNSUCCESSFUL : STATUS_SUCCESS;
        }""")
    archive = make_archive(tmp_path / "twice.cpio", checked, {"good": good})
    outcome = boot("resident", append="load=good,good", extra=archive_option(archive)).assert_completed()
    assert refusals(outcome) == {"good": "already loaded"}


def test_failing_DriverEntry_is_unloaded(boot, checked, tmp_path):
    """Nothing of it stays: the same name can be tried again."""
    bad = make_driver(tmp_path, "fails", HEADER + """
        NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
            UNREFERENCED_PARAMETER(Driver);
            UNREFERENCED_PARAMETER(Path);
            return STATUS_NO_SUCH_DEVICE;
        }""")
    archive = make_archive(tmp_path / "fails.cpio", checked, {"fails": bad})
    outcome = boot("resident", append="load=fails,fails", extra=archive_option(archive)).assert_completed()
    assert outcome.serial.count("ldr: fails.sys: unloaded: DriverEntry returned 0xC000000E") == 2


def test_sections_have_their_protections(boot, checked, tmp_path):
    """PAGE code starts non-resident, constants are read-only, and INIT code is gone after DriverEntry."""
    driver = make_driver(tmp_path, "parts", HEADER + """
        VOID Paged(VOID);
        #pragma alloc_text(PAGE, Paged)
        #pragma alloc_text(INIT, DriverEntry)
        VOID Paged(VOID) { PAGED_CODE(); }
        static VOID Look(PVOID Context) {
            LARGE_INTEGER Tick = {.QuadPart = -1};
            while (MmIsAddressValid(Context)) {
                KeDelayExecutionThread(KernelMode, FALSE, &Tick);
            }
            DbgPrint("parts: INIT is gone\\n");
            PsTerminateSystemThread(STATUS_SUCCESS);
        }
        NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
            HANDLE Thread;
            UNREFERENCED_PARAMETER(Driver);
            UNREFERENCED_PARAMETER(Path);
            DbgPrint("parts: PAGE valid %u\\n", MmIsAddressValid((PVOID)(ULONG_PTR)Paged));
            Paged();
            DbgPrint("parts: PAGE valid %u after the call\\n", MmIsAddressValid((PVOID)(ULONG_PTR)Paged));
            NTSTATUS Status = PsCreateSystemThread(&Thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, Look,
                                                   (PVOID)DriverEntry);
            ZwClose(Thread);
            return Status;
        }""")
    pause = make_driver(tmp_path, "pause", HEADER + """
        NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
            LARGE_INTEGER Second = {.QuadPart = -10000000};
            UNREFERENCED_PARAMETER(Driver);
            UNREFERENCED_PARAMETER(Path);
            return KeDelayExecutionThread(KernelMode, FALSE, &Second);
        }""")
    archive = make_archive(tmp_path / "parts.cpio", checked, {"parts": driver, "pause": pause})
    outcome = boot("resident", append="load=parts,pause", extra=archive_option(archive)).assert_completed()
    lines = re.findall(r"^parts: (.*?)\r?$", outcome.serial, re.MULTILINE)
    assert lines == ["PAGE valid 0", "PAGE valid 1 after the call", "INIT is gone"]


def test_constants_cannot_be_written(boot, checked, tmp_path):
    driver = make_driver(tmp_path, "writes", HEADER + """
        const ULONG Constant = 7;
        NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
            UNREFERENCED_PARAMETER(Driver);
            UNREFERENCED_PARAMETER(Path);
            *(volatile ULONG *)(ULONG_PTR)&Constant = 8;
            return STATUS_SUCCESS;
        }""")
    archive = make_archive(tmp_path / "writes.cpio", checked, {"writes": driver})
    outcome = boot("resident", append="load=writes", extra=archive_option(archive))
    outcome.assert_bugcheck(0xBE, expected=False)
    assert "writes!DriverEntry" in outcome.serial
    for name in ("IopLoadUnloadDriver", "IopLoadDriver", "PnpCallDriverEntry"):
        assert f"nt!{name}+" in outcome.serial


def test_static_constructors_run_before_DriverEntry(boot, checked, tmp_path):
    driver = make_driver(tmp_path, "cpp", """
        #include <ntddk.h>
        extern "C" DRIVER_INITIALIZE DriverEntry;
        struct Counter {
            int Value;
            Counter(int Start) : Value(Start) { DbgPrint("cpp: constructor %d\\n", Start); }
        };
        static Counter First(40), Second(2);
        extern "C" NTSTATUS DriverEntry(PDRIVER_OBJECT, PUNICODE_STRING) {
            DbgPrint("cpp: sum %d\\n", First.Value + Second.Value);
            return STATUS_SUCCESS;
        }""", language="cc")
    archive = make_archive(tmp_path / "cpp.cpio", checked, {"cpp": driver})
    outcome = boot("resident", append="load=cpp", extra=archive_option(archive)).assert_completed()
    assert re.findall(r"^cpp: (.*?)\r?$", outcome.serial, re.MULTILINE) == ["constructor 40", "constructor 2", "sum 42"]


def test_damaged_symbols_cost_only_names(boot, checked, tmp_path):
    archive = make_archive(tmp_path / "names.cpio", checked, {}, leave_out=("secret.sym",))
    kernel = tmp_path / "names.content/symbols/kernel.sym"
    kernel.write_bytes(kernel.read_bytes()[:1000])
    pack_archive(archive, tmp_path / "names.content")
    outcome = boot("paged", extra=archive_option(archive)).assert_bugcheck(0xD1, p2=2, p3=1)
    assert re.search(r"secret\+0x[0-9a-f]+", outcome.serial)
    assert re.search(r"nt\+0x[0-9a-f]+", outcome.serial)


@pytest.mark.parametrize("cut", [0, 7, 111, 5000])
def test_damaged_archive_does_not_stop_the_boot(boot, checked, tmp_path, cut):
    """Without its drivers the kernel keeps its pages in RAM, and says which driver was missing."""
    whole = (checked / "boot.cpio").read_bytes()
    archive = tmp_path / "cut.cpio"
    archive.write_bytes(whole[:cut] + b"\0" * (64 if cut < 64 else 0))
    outcome = boot("resident", extra=archive_option(archive))
    assert outcome.verdict, "no verdict"
    assert outcome.verdict["end"] == "completed", outcome.verdict
    assert "refused: not in the boot archive" in outcome.serial


@pytest.mark.parametrize("name", ["checked", "free"])
def test_call_of_an_unloaded_driver_is_blamed_on_it(boot, name):
    """0xCE, an execution, and the stack still shows who called."""
    outcome = boot(test="crash_loader_call_of_an_unloaded_driver", build=name, cpus=2)
    outcome.assert_bugcheck(0xCE, p2=0x10, p4=0, expected=False)
    assert outcome.parameters[0] == outcome.parameters[2]
    assert "ktest!crash_loader_call_of_an_unloaded_driver+0x" in outcome.serial
