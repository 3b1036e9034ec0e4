"""tools/packages is whole: every program, Python module and file of the system that tools/ and tests/ use comes from a package that it
names, from what those need, or from Debian's essential ones; and each command runs with no program but those of its groups."""

import ast
import functools
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from host.paths import TOP

# Probed for, and done without: other systems' package managers, containers, trees of other systems, the way to become root.
OPTIONAL = {"gdb-multiarch", "apt-get", "sudo", "debootstrap", "dnf", "pacman", "zypper", "podman", "docker"}
BUILTINS = set("alias bg break case cd command continue do done elif else esac eval exec exit export fi for if in local printf pwd read "
               "return set shift test then trap true false umask unset until wait while : . [ ! { }".split())
GROUPS = ("run", "iso", "uefi", "gdb", "rewind", "test")


# ---- What the packages bring ----

@functools.cache
def installed():
    """{package: (essential or required, [what it needs], [files])}; virtual names too."""
    listing = subprocess.run(["dpkg-query", "-W", "-f", "${Package}\t${Essential}\t${Priority}\t${Pre-Depends}, ${Depends}\t${Provides}\n"],
                             capture_output=True, text=True, check=True).stdout
    found = {}
    for line in listing.splitlines():
        name, essential, priority, needs, provides = line.split("\t")
        entry = (name, essential == "yes" or priority == "required",
                 [[option.split()[0].split(":")[0] for option in part.split("|")] for part in needs.split(",") if part.strip()])
        for word in [name] + [part.split()[0] for part in provides.split(",") if part.strip()]:
            found.setdefault(word, entry)
    return found


@functools.cache
def closure(groups):
    """The packages of these groups of tools/packages, what they need, and what every Debian has."""
    rows = [line.split() for line in (TOP / "tools/packages").read_text().splitlines() if not line.startswith("#")]
    wanted = [row[1] for row in rows if set(row[0].split(",")) & set(groups)]
    absent = [name for name in wanted if name not in installed()]
    if absent:
        pytest.skip(f"not a Debian on which these packages are installed: {' '.join(absent)}")
    waiting, whole = wanted + [name for name, basic, _ in installed().values() if basic], set()
    while waiting:
        entry = installed().get(waiting.pop())
        if entry and entry[0] not in whole:
            whole.add(entry[0])
            waiting += [option for options in entry[2] for option in options]
    return frozenset(whole)


@functools.cache
def files_of(groups):
    """All files that these packages bring, links of Debian's alternatives too."""
    text = subprocess.run(["dpkg-query", "-L", *sorted(closure(groups))], capture_output=True, text=True, check=True).stdout
    files = {re.sub(r"^/(bin|sbin|lib|lib64)/", r"/usr/\1/", line) for line in text.splitlines()}
    for link in Path("/usr/bin").iterdir():
        if link.is_symlink() and os.readlink(link).startswith("/etc/alternatives/") and os.path.realpath(link) in files:
            files.add(str(link))
    return files


def programs(groups):
    """{name: path} of the programs in these packages."""
    return {Path(path).name: path for path in files_of(groups) if re.match(r"/usr/(bin|sbin|local/bin)/[^/]+$", path)}


# ---- What the tools and tests start ----

def python_files():
    paths = [path for folder in ("tools", "tests") for path in sorted((TOP / folder).rglob("*.py")) if "__pycache__" not in path.parts]
    return [*paths, TOP / "tools/tool"]


def name_of(path):
    """A module's name to import it by: host.toolchain, conftest."""
    return ".".join(path.relative_to(TOP).with_suffix("").parts[1:])


class Starts(ast.NodeVisitor):
    """The programs that one module names: as the first word that goes to subprocess, to a function that hands its words on to
    subprocess, or to shutil.which."""

    CALLS = {"run", "Popen", "call", "check_call", "check_output"}

    def __init__(self, path):
        self.tree, self.words, self.handing, self.functions = ast.parse(path.read_text()), set(), {}, {}
        self.assigned = {}                      # name: the expressions that are assigned to it
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        self.assigned.setdefault(target.id, []).append(node.value)
            if isinstance(node, ast.FunctionDef):
                self.functions[node.name] = node
        for node in self.functions.values():
            self.note_wrapper(node)

    def is_start(self, call):
        function = call.func
        return isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and (
            (function.value.id == "subprocess" and function.attr in self.CALLS)
            or (function.value.id == "shutil" and function.attr == "which"))

    def note_wrapper(self, function):
        """A function whose own first or starred parameter goes to subprocess starts what it is called with."""
        names = [argument.arg for argument in function.args.args[:1]] + ([function.args.vararg.arg] if function.args.vararg else [])
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and self.is_start(call) and call.args:
                if self.leading(call.args[0]) & set(names):
                    self.handing[function.name] = True

    def leading(self, node):
        """The name that the first word of an expression is taken from."""
        if isinstance(node, (ast.List, ast.Tuple)) and node.elts:
            return self.leading(node.elts[0])
        if isinstance(node, ast.BinOp):
            return self.leading(node.left)
        if isinstance(node, (ast.ListComp, ast.Starred)):
            return self.leading(node.generators[0].iter if isinstance(node, ast.ListComp) else node.value)
        return {node.id} if isinstance(node, ast.Name) else set()

    def find(self, imported):
        handing = set(self.handing) | imported
        for call in ast.walk(self.tree):
            if not isinstance(call, ast.Call) or not call.args:
                continue
            if self.is_start(call) or (isinstance(call.func, ast.Name) and call.func.id in handing):
                self.words |= self.first_words(call.args[0], set())
        return self.words

    def first_words(self, node, seen):
        """The literal words that an expression may begin with."""
        if isinstance(node, ast.Constant):
            return {node.value} if isinstance(node.value, str) else set()
        if isinstance(node, (ast.List, ast.Tuple)):
            return self.first_words(node.elts[0], seen) if node.elts else set()
        if isinstance(node, ast.BinOp):
            return self.first_words(node.left, seen)
        if isinstance(node, (ast.IfExp, ast.BoolOp)):
            parts = (node.body, node.orelse) if isinstance(node, ast.IfExp) else node.values
            return set().union(*(self.first_words(part, seen) for part in parts))
        if isinstance(node, (ast.ListComp, ast.Starred)):
            return self.first_words(node.generators[0].iter if isinstance(node, ast.ListComp) else node.value, seen)
        if isinstance(node, ast.Name) and node.id not in seen:
            return set().union(*(self.first_words(value, seen | {node.id}) for value in self.assigned.get(node.id, [])))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "tool":
            return self.first_words(node.args[0], seen)                     # tools/host/toolchain.py: with the host's prefix
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in self.functions:
            returned = [each.value for each in ast.walk(self.functions[node.func.id]) if isinstance(each, ast.Return) and each.value]
            return set().union(*(self.first_words(value, seen | {node.func.id}) for value in returned if node.func.id not in seen))
        return set()


def started_by_python():
    """{program: the files that start it}."""
    modules = {name_of(path): Starts(path) for path in python_files()}
    found = {}
    for path in python_files():
        module = Starts(path)
        imported = {alias.name for node in ast.walk(module.tree) if isinstance(node, ast.ImportFrom) and node.module in modules
                    for alias in node.names if alias.name in modules[node.module].handing}
        # A list that a function of another module returns: its words are found where the function is.
        words = module.find(imported)
        for function in module.functions.values():
            for node in ast.walk(function):
                if isinstance(node, ast.Return) and isinstance(node.value, ast.List):
                    words |= {word for word in module.first_words(node.value, set()) if shutil.which(word)}
        for word in words:
            if re.fullmatch(r"[\w.+-]+", word):
                found.setdefault(word, set()).add(path.name)
    return found


def commands_of_shell(text):
    """The first words of the commands of a shell script or a recipe."""
    text = re.sub(r"<<'END'.*?\nEND\n", "\n", text.replace('"${CROSS:-}strip"', "strip"), flags=re.S)
    text = re.sub(r"\\\n", " ", text)
    text = re.sub(r"(^|\s)#[^\n]*", r"\1", text)
    text = re.sub(r"^\s*[^\s(]+( \| [^\s(]+)*\)", " ", text, flags=re.M)      # the patterns of a case
    inner = []                                      # the substitutions in double quotes

    def without(match):
        if match[0].startswith('"'):
            inner.extend(re.findall(r"\$\(([^()$]*)", match[0]))
        return " Q "

    text = re.sub(r"\\.|'[^']*'|\"(?:\\.|[^\"\\])*\"", without, text)
    words = set()
    for part in inner + re.split(r"\n|;|\|\||&&|\||\$\(|\bthen\b|\bdo\b|\belse\b|\{ |\( |\bif\b|\bwhile\b|\buntil\b|! ", text):
        part = re.sub(r"^(\s*(exec|env|timeout \d+|\w+=\S*))+\s", " ", " " + part.strip() + " ")
        word = (part.split() or [""])[0].strip("()")
        if re.fullmatch(r"[a-z][\w.+-]*", word) and word not in BUILTINS and not re.match(r"\w+\)", part.strip()):
            words.add(word)
        words |= set(re.findall(r"command -v ([a-z][\w.+-]*)", part))
    return words


def recipes():
    """The Makefile's recipes, with its own variables put in."""
    text = (TOP / "Makefile").read_text().replace("\\\n", " ")
    text = text.replace("$(CROSS)", "")                     # nothing on an x86-64
    values = dict(re.findall(r"^(CC|CXX|LD|NASM)\s*[:?]?=\s*(\S+)", text, re.M))
    text = re.sub(r"(?<!\$)\$\([\w-]+\s", "(Q ", text)      # functions of make's
    lines = [line[1:].lstrip("@-") for line in text.splitlines() if line.startswith("\t")]
    return re.sub(r"\$\((\w+)\)", lambda match: values.get(match[1], "Q"), "\n".join(lines)).replace("$$(", "$(")


def started_by_shell():
    found = {}
    scripts = {path.name: path.read_text() for folder in ("tools", ".ci") for path in (TOP / folder).rglob("*")
               if path.is_file() and path.read_bytes().startswith(b"#!/bin/sh")}
    functions = set(re.findall(r"^(\w+)\(\) \{", "\n".join(scripts.values()), re.M))
    for name, text in scripts.items():
        for word in commands_of_shell(text) - functions:
            found.setdefault(word, set()).add(name)
    for word in commands_of_shell(recipes()):
        found.setdefault(word, set()).add("Makefile")
    return found


def test_every_program_that_is_started_comes_from_a_package():
    by_python, by_shell = started_by_python(), started_by_shell()
    # The finder finds: these are started in each of the ways that it knows.
    assert {"qemu-img", "gdb", "setpriv", "bochs", "chromium", "clang", "mformat", "readelf", "qemu-system-x86_64", "nm"} <= set(by_python)
    assert {"awk", "xorriso", "mformat", "strip", "apt-get", "nproc", "uname"} <= set(by_shell)
    assert {"gcc", "g++", "ld", "nasm", "cpio", "gzip", "cppcheck", "objcopy", "git"} <= {
        word for word, places in by_shell.items() if "Makefile" in places}
    brought = programs(GROUPS)
    lost = {word: sorted(places) for found in (by_python, by_shell) for word, places in found.items()
            if re.match(r"[a-z]", word) and word not in brought and word not in OPTIONAL and not list((TOP / "tools").rglob(word))}
    assert not lost, f"tools/packages has no package with these: {lost}"


def test_every_module_of_python_comes_from_a_package():
    own = {name_of(path).split(".")[0] for path in python_files()} | {"gdb"}
    missing, brought = {}, files_of(GROUPS)
    for path in python_files():
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else \
                [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in {name.split(".")[0] for name in names} - own - set(sys.stdlib_module_names) - {""}:
                spec = importlib.util.find_spec(name)
                if spec is None or spec.origin not in brought:
                    missing.setdefault(name, set()).add(path.name)
    assert not missing


def test_every_file_of_the_system_comes_from_a_package():
    """Paths under /usr in tools and tests, what tools/packages looks for, and the library that clang links for its fuzzer."""
    brought, absent = files_of(GROUPS + ("window",)), {}
    for path in [*python_files(), TOP / "Makefile", TOP / "tools/build/mkiso"]:
        for name in re.findall(r"(/usr/(?:bin|lib|share|include)/[\w./+-]*\w)(?![*\w{])", path.read_text()):
            elsewhere = "grub2" in name or OPTIONAL & set(name.split("/"))
            if name not in brought and not any(file.startswith(name + "/") for file in brought) and not elsewhere:
                absent.setdefault(name, set()).add(path.name)
    assert not absent
    runtime = subprocess.run(["clang", "-print-file-name=libclang_rt.fuzzer-x86_64.a"], capture_output=True, text=True, check=True).stdout
    assert os.path.realpath(runtime.strip()) in {os.path.realpath(file) for file in brought if "libclang_rt" in file}


# ---- Each command, with what its groups bring ----

def path_of(folder, groups):
    """A folder of links to the programs of these groups."""
    folder.mkdir()
    for name, path in programs(groups).items():
        if os.path.exists(path):
            (folder / name).symlink_to(path)
    return folder


@pytest.fixture
def clone(build, tmp_path):
    """A copy of the tree, with what is built, in a folder with a space in its name."""
    folder = tmp_path / "my labs"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=TOP, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, tracked):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(TOP / name, folder / name, follow_symlinks=False)
    for name in build:
        shutil.copytree(build[name], folder / "build" / name)
    return folder


def test_each_command_runs_in_a_folder_with_a_space_by_what_its_groups_bring(clone, tmp_path):
    """Builds nothing again. In this order: the later ones look at what the earlier ones left."""
    clean = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY", "OUT")}
    for number, (words, groups, status, contains) in enumerate((
            ("run paged --pvh --seed 1 --cpus 2 --mem 64 --headless", "run", 0, ""), ("kd -c k", "gdb", 0, "secret!SecretStore"),
            ("trace", "gdb", 0, ""), ("rewind --to raise -c k", "run gdb rewind", 0, "secret!SecretStore"),
            ("rewind --reverse paged -c k", "run gdb rewind", 0, "secret!SecretStore"), ("step dpc --auto", "run gdb", 0, ""),
            ("gdb paged --timeout 1", "run gdb", 0, ""), ("run resident --headless --bios", "run iso", 0, ""),
            ("driver tests/drivers/judge/judge_two_mutexes.c", "run", 4, ""), ("list", "", 0, ""),
            ("models newcpu --cpus 2", "models", 0, "holds on 2 CPUs"), ("soak story --runs 1", "run", 0, "1 of 1 runs"),
            ("doctor", "run iso uefi gdb rewind test", 0, ""),
            ("test -n 0 -q tests/test_boot.py::test_all_cpus_come_up[1]", "run iso uefi gdb rewind test", 0, "1 passed"),
            ("help", "", 0, ""))):
        path = path_of(tmp_path / f"bin{number}", tuple(groups.split()))
        done = subprocess.run([clone / "tools/bugcheck", *words.split()], cwd=clone, capture_output=True, text=True, timeout=240,
                              stdin=subprocess.DEVNULL, env=clean | {"PATH": str(path)})
        text = done.stdout + done.stderr
        assert done.returncode == status and "Traceback" not in text, f"{words}: {done.returncode}\n{text[-3000:]}"
        assert "installing" not in text and contains in text, text
        assert not re.search(r"^  (CC|NASM|LD|SYS|ISO) ", text, re.M), f"{words} builds again what was built"
    assert subprocess.run(["make", "-q", "iso"], cwd=clone, env=clean, timeout=60).returncode == 0
