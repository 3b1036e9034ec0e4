"""The kernel's files lead to each other no more than they do today, counted from the objects (tools/docs/structure.py)."""
import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from docs import structure, tables
from host.paths import TOP


def test_the_rooms_are_no_more_tangled_than_they_were(build):
    """Bounds that may only fall: mutual pairs of folders, the largest cycle of files, what ke takes from above."""
    assert build
    found = structure.measure("checked")
    assert len(found.files) > 200, "the objects were not found"
    assert len(found.pairs) <= 14, found.pairs
    assert len(found.cycle) <= 62, sorted(map(str, found.cycle))
    assert len(found.upward) <= 5, found.upward


def test_a_mechanism_reads_only_what_it_needs(build):
    """The headers of ke/event.c: those of its concepts, not the whole of WDM."""
    assert build
    read = structure.headers("checked", structure.SAMPLE)
    assert "kernel/include/thread.h" in read and sum(read.values()) <= 1350, read
    assert "kernel/include/ke.h" not in structure.headers("checked", "arch/x86_64/halt.c"), "arch.h does not stand alone"


def test_a_cycle_is_found():
    """The search itself: of two cycles the larger, without what only leads into it."""
    edges = structure.defaultdict(set, {"a": {"b"}, "b": {"a"}, "c": {"d"}, "d": {"e"}, "e": {"c", "a"}, "f": {"c"}})
    assert structure.largest_cycle(edges) == {"c", "d", "e"}


def test_a_build_that_was_not_made_is_one_line():
    """An unknown build is reported, with the words to type."""
    done = subprocess.run([TOP / "tools/tool", "docs.structure", "nonsense"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and "make BUILD=checked kernel" in done.stderr and len(done.stderr.splitlines()) == 1


# ---- The list of sources: kernel/sources.mk ----

@pytest.fixture
def listing(tmp_path):
    """A tree of empty files that kernel/sources.mk lists, with the build file; a function that asks it for the core."""
    for name in ("Makefile", "kernel/sources.mk", "kernel/drivers/drivers.mk"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TOP / name, tmp_path / name)
    for name in subprocess.run(["git", "ls-files", "boot", "arch", "kernel"], cwd=TOP, capture_output=True, text=True,
                               check=True).stdout.split():
        if name.endswith((".c", ".asm")):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()

    def ask():
        return subprocess.run(["make", "-s", "core-list"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    ask.top = tmp_path
    return ask


def test_the_core_is_printed_one_a_line(listing):
    """make -s core-list prints the list itself, in its order."""
    assert listing().stdout.split("\n") == [*tables.listed("CORE"), ""]


def test_a_source_in_no_list_is_an_error(listing):
    """A file that is there and not listed: one line with its name and what to do."""
    (listing.top / "kernel/mm/stray.c").touch()
    done = listing()
    assert done.returncode and "does not list kernel/mm/stray.c: add it" in done.stderr and done.stderr.count("\n") == 1


def test_a_listed_source_that_is_not_there_is_an_error(listing):
    """A line that outlived its file, and a second line for one file."""
    (listing.top / "kernel/mm/fault.c").unlink()
    done = listing()
    assert done.returncode and "lists kernel/mm/fault.c, which is not there" in done.stderr and done.stderr.count("\n") == 1
    (listing.top / "kernel/mm/fault.c").touch()
    with open(listing.top / "kernel/sources.mk", "a") as file:
        file.write("RING += kernel/mm/fault.c\n")
    assert "lists kernel/mm/fault.c twice" in listing().stderr


def test_each_listed_source_says_what_it_is():
    """One a line, with a comment."""
    lines = [line for line in (TOP / "kernel/sources.mk").read_text().splitlines() if line and not line.startswith("#")]
    assert len(lines) > 200 and not [line for line in lines if len(line.split(" # ")) != 2 or not line.split(" # ")[1].strip()]


BLAMED = {"pool": ("KiPoolCode", {"ExAllocatePoolWithTag", "ExFreePoolWithTag", "MiTakePoolBlock", "MiFindBigPool", "MmFindPoolBlock"}),
          "pages": ("KiPageCode", {"MiAllocatePoolPages", "MiFreePoolPages", "MiUnmapPages"}),
          "ptes": ("KiPteCode", {"MmMapIoSpace", "MmUnmapIoSpace", "MiReserveRange", "MiReleaseRange"})}


def functions(path):
    """(address, name) of each function of a file, by nm."""
    text = subprocess.run(["nm", path], capture_output=True, text=True, check=True).stdout
    return [(int(address, 16), name) for address, name in re.findall(r"^([0-9a-f]{16}) [tT] (\S+)$", text, re.M)]


@pytest.mark.parametrize("kind", ("checked", "free"))
@pytest.mark.parametrize("room", BLAMED)
def test_a_range_of_blame_is_the_code_of_its_files(build, kind, room):
    """A bugcheck depends on these ranges: each has every function of the files that sources.mk names for it, and no other."""
    label, known = BLAMED[room]
    kernel = functions(build[kind] / "kernel.elf")
    start, end = (next(address for address, name in kernel if name == label + suffix) for suffix in ("", "End"))
    inside = {name for address, name in kernel if start <= address < end and not name.startswith(("Ki", "Kernel"))}
    listed = {name for path in tables.listed(f"BLAMED_{room}")
              for _, name in functions((build[kind] / "obj" / path).with_suffix(".o"))}
    assert known <= inside and inside == listed, (known - inside, inside ^ listed)


# ---- The shelves of tools/ ----

STARTED = {"bugcheck", "tool", "scenarios", "packages", "packages.elsewhere"}       # by a person, by make, or read by what is


def imports_of_the_tools():
    """{module of tools/: the modules of it that it imports, wherever in the file}; modules as "kd.target.memory"."""
    files = {".".join(path.relative_to(TOP / "tools").with_suffix("").parts): path for path in (TOP / "tools").rglob("*.py")}
    edges = {}
    for name, path in files.items():
        edges[name] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                edges[name] |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
            elif isinstance(node, ast.Import):
                edges[name] |= {alias.name for alias in node.names}
        edges[name] &= set(files) - {name}
    return edges


def tools_of():
    """The files of tools/, as paths below it."""
    text = subprocess.run(["git", "ls-files", "tools"], cwd=TOP, capture_output=True, text=True, check=True).stdout
    return [Path(name).relative_to("tools") for name in text.split()]


def test_each_tool_is_on_the_shelf_of_its_kind():
    """In tools/ itself is only what is started; every other file is in a folder that has a thesis."""
    tools_there = tools_of()
    assert {str(path) for path in tools_there if len(path.parts) == 1} == STARTED
    assert {str(path.parent) for path in tools_there} == {".", *tables.SHELVES}
    assert {str(path.parent) for path in tools_there if path.suffix == ".py"} == set(tables.SHELVES) - set(tables.OTHERS)
    assert all((TOP / "tools" / shelf / "__init__.py").exists() for shelf in set(tables.SHELVES) - set(tables.OTHERS))


def test_a_tool_imports_only_from_its_own_shelf_and_from_those_below():
    """Not inside functions either; so no two folders import each other, and no two modules."""
    edges = imports_of_the_tools()
    assert len(edges) > 90 and "kd.target.memory" in edges["kd.model.threads"] and "host.paths" in edges["cli.run"]
    assert not structure.largest_cycle(edges)
    height = {name: tables.SHELVES.index(name.rpartition(".")[0].replace(".", "/")) for name in edges}
    upward = [(name, other) for name in height for other in edges[name] if height.get(other, 0) > height[name]]
    assert not upward, upward


def test_each_tool_says_what_it_is_in_one_line():
    """A noun or a verb first, at most 90 columns: docs/files.md has the sentences."""
    said = {path: tables.first_sentence(TOP / "tools" / path) for path in tools_of()}
    wrong = {str(path): text for path, text in said.items() if len(text.replace("\\|", "|")) > 90 or not text.endswith(".")
             or re.match(r"(What|Which|Who|Whose|How|Why|Whether|From)\b", text)}
    assert not wrong, wrong
