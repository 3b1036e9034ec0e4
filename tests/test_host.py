"""Host tests: rtl, the loader and the symbol reader, compiled for this machine with the address and undefined-behaviour
sanitizers; and the build tools that make modules and symbol files."""

import re
import subprocess

import pytest

from modules import PYTHON, TOP, call, make_driver, make_variable

HOST = TOP / "tests/host"

SANITIZED = ("-std=gnu11 -g -O1 -fshort-wchar -fno-builtin -fno-strict-aliasing -fsanitize=address,undefined "
             "-fno-sanitize-recover=undefined -Wall -Wextra -Werror -Wno-format -Wno-multichar "
             "-include tests/host/check.h -Ikernel/include -Ikernel/include/ddk -Iboot").split()
RTL = sorted(str(p.relative_to(TOP)) for p in (TOP / "kernel/rtl").glob("*.c"))


def build_host(folder, name, *sources):
    program = folder / name
    call("gcc", *SANITIZED, HOST / f"{name}.c", *sources, "-o", program)
    return program


def sections_of(path):
    """{function: section} of a module."""
    names, result = {}, {}
    for line in call("readelf", "-WS", path).splitlines():
        match = re.match(r"\s*\[\s*(\d+)\]\s+(\S+)", line)
        if match:
            names[match.group(1)] = match.group(2)
    for line in call("readelf", "-Ws", path).splitlines():
        words = line.split()
        if len(words) == 8 and words[3] == "FUNC":
            result[words[7]] = names.get(words[6], words[6])
    return result


@pytest.mark.parametrize("name", ["format", "library", "strings"])
def test_rtl(name, tmp_path):
    call(build_host(tmp_path, name, *RTL))


def test_archive_reader_survives_damage(tmp_path):
    folder = tmp_path / "drivers"
    folder.mkdir()
    (folder / "a.sys").write_bytes(b"hello")
    (folder / "empty.sys").write_bytes(b"")
    (folder / "long.sys").write_bytes(bytes(range(250)) * 4)
    names = "drivers\ndrivers/a.sys\ndrivers/empty.sys\ndrivers/long.sys\n"
    archive = subprocess.run(["cpio", "--quiet", "-o", "-H", "newc"], cwd=tmp_path, input=names.encode(),
                             stdout=subprocess.PIPE, check=True).stdout
    (tmp_path / "boot.cpio").write_bytes(archive)
    call(build_host(tmp_path, "archive", *RTL), tmp_path / "boot.cpio")


def test_loader_survives_damage(tmp_path):
    module = make_driver(tmp_path, "driver", (HOST / "driver.c").read_text())
    loader = build_host(tmp_path, "loader", *(f"kernel/ldr/{n}.c" for n in ("elf", "layout", "relocate", "module")),
                        "kernel/ldr/symbols.c", *RTL)
    call(loader, module, tmp_path / "driver.sym")


def test_alloc_text_places_functions(tmp_path):
    where = sections_of(make_driver(tmp_path, "driver", (HOST / "driver.c").read_text()))
    assert where["PagedFunction"] == where["PagedToo"] == "PAGE"
    assert where["DriverEntry"] == "INIT"
    assert where["Pragmas"] == ".text"  # named only in comments


def test_alloc_text_in_cplusplus(tmp_path):
    where = sections_of(make_driver(tmp_path, "cpp", """
        #include <ntddk.h>
        struct Counter { int Value; Counter() : Value(Start()) {} static int Start(); };
        void Paged(int *Value);
        extern "C" NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path);
        #pragma alloc_text(PAGE, Paged)
        #pragma alloc_text("INIT", DriverEntry)
        Counter Global;
        int Counter::Start() { return 7; }
        void Paged(int *Value) { *Value = Global.Value; }
        void PagedNot(int *Value) { *Value = 1; }
        extern "C" NTSTATUS DriverEntry(PDRIVER_OBJECT, PUNICODE_STRING) {
            int Value; Paged(&Value); PagedNot(&Value); return STATUS_SUCCESS;
        }
        """, language="cc"))
    assert where["_Z5PagedPi"] == "PAGE"
    assert where["_Z8PagedNotPi"] == ".text"
    assert where["DriverEntry"] == "INIT"


def test_alloc_text_under_if_0(tmp_path):
    where = sections_of(make_driver(tmp_path, "off", """
        #include <ntddk.h>
        void First(int *Value); void Second(int *Value); void Third(int *Value);
        #if 0
        #pragma alloc_text(PAGE, First)
        #ifdef NEVER
        #endif
        #else
        #pragma alloc_text(PAGE, Second)
        #endif
        #ifdef ALLOC_PRAGMA
        #pragma alloc_text(PAGE, Third)
        #endif
        void First(int *Value) { *Value = 1; }
        void Second(int *Value) { *Value = 2; }
        void Third(int *Value) { *Value = 3; }
        NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
            int Value; First(&Value); Second(&Value); Third(&Value);
            UNREFERENCED_PARAMETER(Driver); UNREFERENCED_PARAMETER(Path); return STATUS_SUCCESS;
        }
        """))
    assert [where[name] for name in ("First", "Second", "Third")] == [".text", "PAGE", "PAGE"]


def test_driver_has_no_debug_information(tmp_path):
    module = make_driver(tmp_path, "driver", (HOST / "driver.c").read_text())
    assert ".debug" not in call("readelf", "-WS", module)
    assert ".debug_line" in call("readelf", "-WS", module.with_suffix(".dbg"))


def test_exports_refuse_what_is_no_name(tmp_path):
    for bad in ("two words\n", "KeBugCheck\nKeBugCheck\n", "1abc\n"):
        (tmp_path / "bad.def").write_text(bad)
        done = subprocess.run([PYTHON, TOP / "tools/tool", "build.mkexports", tmp_path / "bad.def", tmp_path / "out.c"],
                              capture_output=True, text=True, check=False)
        assert done.returncode != 0 and "bad.def:" in done.stderr


def test_every_declared_function_is_exported(tmp_path):
    """A driver may call all that its headers declare."""
    (tmp_path / "all.c").write_text("#include <ntifs.h>\n#include <ntstrsafe.h>\n#include <block.h>\n")
    call("gcc", *make_variable("DRIVER_CFLAGS"), "-MF", "/dev/null", "-fsyntax-only", "-aux-info",
         tmp_path / "all.txt", tmp_path / "all.c")
    declared = set()
    for line in (tmp_path / "all.txt").read_text().splitlines():
        match = re.match(r"/\* \S*include/ddk/\S+ \*/ extern [^(]*?(\w+) \(", line)
        if match:
            declared.add(match.group(1))
    exported = {line.split("#")[0].strip() for line in (TOP / "kernel/ldr/exports.def").read_text().splitlines()}
    assert len(declared) > 100
    assert not declared - exported
