"""Makes driver modules and boot archives for tests, with the Makefile's own flags."""

import functools
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

from build import mkdriver, mksymbols

TOP = Path(__file__).parent.parent
PYTHON = sys.executable


def call(*command, **options):
    """Runs a command at the top of the tree; its output is shown only when it fails."""
    done = subprocess.run([str(word) for word in command], cwd=TOP, capture_output=True, text=True, timeout=120,
                          check=False, **options)
    assert done.returncode == 0, f"{command[0]}: {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout


@functools.cache
def make_variable(name):
    """The words of a variable of the Makefile, as make expands it."""
    database = subprocess.run(["make", "-pnq", "help"], cwd=TOP, capture_output=True, text=True, check=False).stdout
    match = re.search(rf"^{name} :?= (.*)$", database, re.MULTILINE)
    words = [word for word in match.group(1).split() if not word.startswith("$(")]
    return words + make_variable("DRIVER_FLAGS") if "$(DRIVER_FLAGS)" in match.group(1) else words


def make_driver(folder, name, text, language="c"):
    """Compiles one source as the Makefile does and joins it; returns the path of NAME.sys, with NAME.sym beside it."""
    source, joined = folder / f"{name}.{language}", folder / f"{name}.sys"
    source.write_text(text)
    compiler, flags = ("gcc", "DRIVER_CFLAGS") if language == "c" else ("g++", "DRIVER_CXXFLAGS")
    call(compiler, *make_variable(flags), "-DDBG=1", "-MF", folder / f"{name}.d", "-c", source,
         "-o", folder / f"{name}.o")
    mkdriver.join(str(joined), None, [str(source)], [str(folder / f"{name}.o")])
    mksymbols.make_symbols(joined, folder / f"{name}.sym")
    return joined


def make_archive(path, built, modules, leave_out=()):
    """A boot archive: what a build has (a folder), and more modules, {name: path or bytes}."""
    folder = path.with_suffix(".content")
    for part in ("drivers", "symbols"):
        (folder / part).mkdir(parents=True)
        for file in (built / part).iterdir():
            if file.suffix in (".sys", ".sym") and file.name not in leave_out:
                shutil.copy(file, folder / part)
    for name, content in modules.items():
        target = folder / "drivers" / f"{name}.sys"
        if isinstance(content, bytes):
            target.write_bytes(content)
        else:
            shutil.copy(content, target)
            shutil.copy(content.with_suffix(".sym"), folder / "symbols" / f"{name}.sym")
    shutil.copy(built / "c.img", folder)
    return pack_archive(path, folder)


def pack_archive(path, folder):
    """The archive of a folder as it is."""
    names = "".join(f"{p.relative_to(folder)}\n" for p in sorted(folder.rglob("*")) if p.is_file())
    with open(path, "wb") as archive:
        subprocess.run(["cpio", "--quiet", "-o", "-H", "newc"], cwd=folder, input=names.encode(), stdout=archive,
                       check=True)
    return path


class Editor:
    """A copy of a module, with the fields of its ELF structures at hand."""

    def __init__(self, content):
        self.bytes = bytearray(content)
        self.table, = self.unpack("Q", 0x28)
        self.count, self.names = self.unpack("HH", 0x3C)

    def unpack(self, layout, offset):
        return struct.unpack_from("<" + layout, self.bytes, offset)

    def put(self, layout, offset, *values):
        struct.pack_into("<" + layout, self.bytes, offset, *values)
        return self

    def section(self, name):
        """The offset of the header of the section with this name."""
        strings, = self.unpack("Q", self.table + 64 * self.names + 24)
        for index in range(self.count):
            header = self.table + 64 * index
            start = strings + self.unpack("I", header)[0]
            if self.bytes[start:self.bytes.index(0, start)] == name.encode():
                return header
        raise KeyError(name)

    def content(self, name):
        """(offset, size) of a section's bytes."""
        return self.unpack("QQ", self.section(name) + 24)

    def edit(self, change):
        """A damaged copy as bytes."""
        copy = Editor(self.bytes)
        change(copy)
        return bytes(copy.bytes)
