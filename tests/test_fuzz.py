"""Arbitrary bytes for each reader of foreign data: modules, archives, formats, paths. Short runs of libFuzzer,
always the same, from a kept corpus; a longer one: build as below and run the program without -runs."""

import shutil

import pytest

from modules import call
from test_host import HOST, RTL, SANITIZED

KEPT = [flag for flag in SANITIZED if not flag.startswith(("-W", "-fsanitize"))]
FLAGS = [*KEPT, "-w", "-D__rdtsc=KernelRdtsc", "-fno-sanitize-recover=undefined", "-fsanitize=address,undefined"]
LOADER = [*(f"kernel/ldr/{name}.c" for name in ("elf", "layout", "relocate", "module")), "kernel/ldr/symbols.c"]
#        harness: (sources besides rtl, runs, longest input)
TARGETS = {"loader": (LOADER, 20000, 4000), "archive": ([], 60000, 1500), "format": ([], 40000, 100),
           "path": (["kernel/ob/lookup.c"], 60000, 300)}


@pytest.fixture(scope="session")
def rtl(tmp_path_factory):
    """The run-time library, compiled once for all."""
    folder = tmp_path_factory.mktemp("rtl")
    for source in RTL:
        call("clang", *FLAGS, "-fsanitize=fuzzer-no-link", "-c", source, "-o", folder / f"{source.replace('/', '_')}.o")
    return sorted(folder.glob("*.o"))


@pytest.mark.parametrize("name", TARGETS)
def test_arbitrary_bytes_do_no_harm(name, rtl, tmp_path):
    sources, runs, longest = TARGETS[name]
    program, corpus = tmp_path / "fuzz", tmp_path / "corpus"
    shutil.copytree(HOST / f"corpus_{name}", corpus)
    call("clang", *FLAGS, "-fsanitize=fuzzer", HOST / f"fuzz_{name}.c", *sources, *rtl, "-o", program)
    call(program, f"-runs={runs}", "-seed=1", f"-max_len={longest}", "-timeout=10", "-close_fd_mask=2",
         f"-artifact_prefix={tmp_path}/", corpus)
