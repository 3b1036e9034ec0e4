"""The subset of WDM that drivers see: each name is declared, in C and C++, with the headers in any order, and is bound
to an export; each export has a row in docs/wdm.md."""

import subprocess

import pytest

from modules import TOP, call, make_variable

NAMES = TOP / "tests/wdm_names.txt"
EXPORTS = TOP / "kernel/ldr/exports.def"
FLAGS = {"c": ("gcc", "DRIVER_CFLAGS"), "cc": ("g++", "DRIVER_CXXFLAGS")}
# In C++ there is a form beside each that knows the room from the type.
OVERLOADED = {"wcscpy_s", "wcscat_s", "strcpy_s", "strcat_s", "sprintf_s", "swprintf_s"}
ORDERS = [("ntifs", "ntddk", "wdm"), ("wdm", "ntddk", "ntifs"), ("ntddk",), ("wdm",), ("windef", "ntifs"),
          ("ntstrsafe", "ntintsafe", "ntifs")]


def wanted():
    """[(kind, name, value or None)] of the list."""
    result = []
    for line in NAMES.read_text().splitlines():
        kind, *words = line.split("#")[0].split() or [None]
        if kind == "value":
            result.append((kind, words[0], words[1]))
        elif kind:
            result += [(kind, word, None) for word in words]
    return result


def exports():
    """The names of exports.def."""
    lines = (line.split("#")[0].strip() for line in EXPORTS.read_text().splitlines())
    return {line for line in lines if line}


def compile_text(folder, text, language):
    """(success, the compiler's messages, the object)."""
    compiler, flags = FLAGS[language]
    source, target = folder / f"names.{language}", folder / f"names.{language}.o"
    source.write_text(text)
    done = subprocess.run([compiler, *make_variable(flags), "-DDBG=1", "-MF", str(folder / "names.d"), "-c", str(source),
                           "-o", str(target)], cwd=TOP, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode == 0, done.stderr, target


def text_of(names):
    """A source that uses each name as what it is."""
    lines = [f"#include <{header}.h>" for header in ("ntifs", "ntddk", "wdm", "windef", "ntstrsafe", "ntintsafe", "wdmsec", "ntdddisk")]
    for number, (kind, name, value) in enumerate(names):
        if kind == "macro":
            lines.append(f'#ifndef {name}\n#error "{name} is no macro"\n#endif')
        elif kind == "type":
            lines.append(f"typedef {name.replace('struct__', 'struct _')} *Type{number};")
        elif kind == "value":
            lines.append(f"C_ASSERT((unsigned long long)(unsigned)({name}) == {value});")
        elif kind == "call":
            lines.append(f"#ifndef {name}\nextern const void *const Call{number};\n"
                         f"const void *const Call{number} = (const void *)&{name};\n#endif")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("language", FLAGS)
def test_every_name_is_declared_and_bound(language, tmp_path):
    names = [row for row in wanted() if language == "c" or row[1] not in OVERLOADED]
    good, messages, target = compile_text(tmp_path, text_of(names), language)
    assert good, messages
    undefined = {line.split()[-1] for line in call("nm", "-u", target).splitlines()}
    assert undefined <= exports(), f"declared, but not exported: {sorted(undefined - exports())}"


@pytest.mark.parametrize("language", FLAGS)
@pytest.mark.parametrize("headers", ORDERS, ids="-".join)
def test_headers_in_any_order_without_a_warning(headers, language, tmp_path):
    good, messages, _ = compile_text(tmp_path, "".join(f"#include <{h}.h>\n" for h in headers), language)
    assert good and not messages, messages


@pytest.mark.parametrize("header", sorted(p.name for p in (TOP / "kernel/include/ddk").glob("*.h")))
def test_header_is_short_and_stands_alone(header, tmp_path):
    text = (TOP / "kernel/include/ddk" / header).read_text()
    assert len(text.splitlines()) <= 600
    if header == "ntstrsafetext.h" or header.startswith("wdm") and header not in ("wdm.h", "wdmcrt.h"): # parts
        return
    good, messages, _ = compile_text(tmp_path, f"#include <{header}>\n#include <{header}>\n", "c")
    assert good and not messages, messages


def test_a_name_that_is_not_there_is_noticed(tmp_path):
    good, messages, _ = compile_text(tmp_path, text_of([("call", "KeNoSuchCall", None)]), "c")
    assert not good and "KeNoSuchCall" in messages
    good, messages, _ = compile_text(tmp_path, text_of([("value", "STATUS_PENDING", "0x104")]), "c")
    assert not good


COMPILER_WORDS = r"""
#include <ntifs.h>
#include <ntddk.h>
#include <string.h>
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>
#include <stddef.h>
#include <stdarg.h>
#pragma warning(disable : 4100)
#pragma region Driver
#pragma comment(linker, "/INTEGRITYCHECK")
EXTERN_C_START
__declspec(noinline) static VOID __cdecl Quiet(void);
_Function_class_(KSTART_ROUTINE) _IRQL_requires_max_(PASSIVE_LEVEL) KSTART_ROUTINE Thread;
__drv_maxIRQL(DISPATCH_LEVEL) static __forceinline __int64 Twice(__in __int64 Value) { return 2 * Value; }
__declspec(code_seg("PAGE")) VOID Paged(VOID) { PAGED_CODE(); }
__declspec(align(16)) static UCHAR Aligned[32];
typedef struct DECLSPEC_ALIGN(64) _LINE { ULONG Value; } LINE;
C_ASSERT(sizeof(LINE) == 64);
DECLSPEC_SELECTANY ULONG Shared = 1;
static VOID __cdecl Quiet(void) { unsigned __int64 Big = 1; UNREFERENCED_PARAMETER(Big); }
NTSTATUS NTAPI Try(PVOID P) {
    NTSTATUS Status = STATUS_SUCCESS;
    __try {
        __try {
            if (P == NULL) {
                __leave;
            }
            Status = *(volatile NTSTATUS *)P;
        } __finally {
            Status++;
        }
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Status = GetExceptionCode();
    }
    return Status;
}
VOID Thread(PVOID Context) {
    __int32 Small = (__int32)Twice((__int64)(ULONG_PTR)Context);
    DbgPrint("%d %u\n", Small, Aligned[0]);
    Quiet();
    PsTerminateSystemThread(Try(Context));
}
EXTERN_C_END
#pragma endregion
"""


@pytest.mark.parametrize("language", FLAGS)
def test_words_of_the_other_compiler(language, tmp_path):
    good, messages, target = compile_text(tmp_path, COMPILER_WORDS, language)
    assert good and not messages, messages
    assert " PAGE " in call("readelf", "-WS", target)


def test_exports_are_documented():
    call("/usr/bin/python3", "tools/tool", "docs.wdmtable")
    document = (TOP / "docs/wdm.md").read_text()
    missing = [name for name in sorted(exports()) if f"`{name}`" not in document]
    assert not missing
    blank = [line for line in document.splitlines() if line.startswith("| `") and line.count("|") == 6 and line.split("|")[3].strip() == ""]
    assert not blank
