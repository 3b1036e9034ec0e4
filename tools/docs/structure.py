"""Counts who uses whom in the kernel: how far a reader who opens one file is led.

The objects' relocations tell it.

    tools/tool docs.structure [BUILD]          the counts, of the checked build unless told; build it first (make kernel)
    tools/tool docs.structure --names [BUILD]  also the names that ke/ takes from the folders above it
    tools/tool docs.structure --parts          how many files and lines the walk, the core and the ring have; needs no build

Four numbers: pairs of folders that use each other both ways, the largest set of files in which each leads to every other, the
names that kernel/ke takes from the folders above it, and the lines of headers behind one of its sources. tests/test_structure.py
holds them.
"""
import re
import subprocess
from collections import defaultdict, namedtuple
from pathlib import Path

from docs import tables
from host.paths import OUT, TOP, CannotRun
from host.toolchain import tool

BELOW = ("rtl", "arch", "boot")                                     # the folders that ke may lean on: all others are above it
EVERYWHERE = {"__stack_chk_guard", "__stack_chk_fail"}              # the compiler's, in each file

SAMPLE = "kernel/ke/event.c"                                         # whose headers are counted: a mechanism that needs little

Structure = namedtuple("Structure", "files pairs cycle upward")


def room(path):
    """The folder that an object belongs to: boot, arch, or a folder of kernel/."""
    return path.parts[1] if path.parts[0] == "kernel" else path.parts[0]


def names_of(objects):
    """Two tables, each by object: the global names that it defines, and those that it takes from others."""
    defined, taken = defaultdict(set), defaultdict(set)
    text = subprocess.run([tool("nm"), "--print-file-name", *map(str, objects)], capture_output=True, text=True, check=True).stdout
    for path, kind, name in re.findall(r"^(.+?):[0-9a-f ]{16} (\w) (\S+)$", text, re.M):
        if kind in "Uw":
            taken[path].add(name)
        elif kind.isupper():
            defined[path].add(name)
    return defined, taken


def has_source(path):
    """Whether an object, by its path below the folder of objects, is not left over from a file that is gone."""
    return (TOP / path.with_suffix("")).exists() or (TOP / path.with_suffix(".c")).exists()


def uses(folder):
    """(user, name, owner) for each name that an object below folder takes from another one; paths are the sources'."""
    objects = [path for path in sorted(folder.rglob("*.o")) if path.relative_to(folder).parts[0] in ("boot", "arch", "kernel")
               and "drivers" not in path.parts and has_source(path.relative_to(folder))]
    defined, taken = names_of(objects)
    owner = {name: path for path, names in defined.items() for name in names}
    for path, names in taken.items():
        for name in sorted(names - EVERYWHERE):
            if name in owner and owner[name] != path:
                yield Path(path).relative_to(folder), name, Path(owner[name]).relative_to(folder)


def reachable(edges, start):
    """Every node that start leads to."""
    seen, todo = set(), [start]
    while todo:
        for node in edges[todo.pop()] - seen:
            seen.add(node)
            todo.append(node)
    return seen


def largest_cycle(edges):
    """The largest set of nodes each of which leads to every other."""
    reach = {node: reachable(edges, node) for node in list(edges)}
    return max(({other for other in reach[node] if node in reach.get(other, ())} for node in reach), key=len, default=set())


def measure(build):
    """The structure of a build that was made."""
    found = list(uses(OUT / build / "obj"))
    rooms = {(room(user), room(owner)) for user, _, owner in found}
    edges = defaultdict(set)
    for user, _, owner in found:
        edges[user].add(owner)
    return Structure(files={path for user, _, owner in found for path in (user, owner)},
                     pairs=sorted((a, b) for a, b in rooms if a < b and (b, a) in rooms),
                     cycle=largest_cycle(edges),
                     upward=sorted({(room(owner), name) for user, name, owner in found
                                    if room(user) == "ke" and room(owner) not in ("ke", *BELOW)}))


def headers(build, source):
    """{header: lines} of each that a source reads, the compiler's own aside."""
    rule = (OUT / build / "obj" / source).with_suffix(".d").read_text().split("\n\n")[0]
    names = {word for word in re.sub(r"\\\n", " ", rule).split()[2:] if not word.endswith(":")}
    return {name: len((TOP / name).read_text().splitlines()) for name in sorted(names)}


def crossings(build):
    """(user, name, owner) for each name that a file of the core takes from one of the ring: none, for the ring registers itself."""
    core, ring = set(tables.listed("CORE")), set(tables.listed("RING"))

    def source(path):
        text = str(path).removesuffix(".o")
        return text if text.endswith(".asm") else text + ".c"
    return [(source(user), name, source(owner)) for user, name, owner in uses(OUT / build / "obj")
            if source(user) in core and source(owner) in ring]


def print_parts():
    for part, names in (("the walk", tables.walk()), ("the core", tables.listed("CORE")), ("the ring", tables.listed("RING"))):
        count, lines = tables.size(names)
        print(f"{part}: {count} files, {lines:,} lines")


def main(words):
    if words == ["--parts"]:
        print_parts()
        return 0
    names = "--names" in words
    builds = [word for word in words if word != "--names"] or ["checked"]
    folder = OUT / builds[0] / "obj"
    if len(builds) > 1 or builds[0].startswith("-") or not folder.is_dir():
        raise CannotRun(f"structure: there is no {folder}, make BUILD=checked kernel")
    found = measure(builds[0])
    print(f"folders that use each other both ways: {len(found.pairs)}: " + ", ".join("-".join(pair) for pair in found.pairs))
    print(f"the largest cycle of files: {len(found.cycle)} of {len(found.files)}")
    print(f"names that ke takes from higher folders: {len(found.upward)}")
    print(f"lines of headers that {SAMPLE} reads: {sum(headers(builds[0], SAMPLE).values()):,}")
    if names:
        print("\n".join(f"    {owner:6} {name}" for owner, name in found.upward))
    return 0
