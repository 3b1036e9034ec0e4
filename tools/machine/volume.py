"""The volume C: as an image on the host: made, listed and copied out by mtools.

usage: tools/tool machine.volume make IMAGE [MIB]     an empty FAT16 volume with Temp and Temp2
       tools/tool machine.volume ram IMAGE            the small one for machines without such a disk, cut behind its last byte
       tools/tool machine.volume list IMAGE           its files with their sizes
       tools/tool machine.volume copy IMAGE FOLDER    its files into a folder
"""

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

VOLUME_BYTES = 32 << 20
FOLDERS = ("Temp", "Temp2")
SECTOR = 512
# One table of clusters: two copies cannot change at the same moment, so a machine that dies would leave them different.
SHAPE = ("-c", "8", "-d", "1", "-h", "16", "-s", "63", "-N", "20240101", "-v", "BUGCHECK")
RAM_SHAPE = ("-c", "2", "-d", "1", "-h", "2", "-s", "9", "-r", "4", "-N", "20240102", "-v", "BUGCHECK")
RAM_SECTORS = 1440
ENVIRONMENT = {"MTOOLS_SKIP_CHECK": "1", "SOURCE_DATE_EPOCH": "1704067200"}


class VolumeError(Exception):
    """mtools could not do it; the text is one line for the user."""


@dataclass
class File:
    """A file of the volume: its path from the root with slashes, and its length."""
    path: str
    size: int


def mtool(name, image, *arguments):
    """Runs one of the mtools on an image; returns what it prints."""
    try:
        done = subprocess.run([name, "-i", str(image), *map(str, arguments)], capture_output=True, timeout=60,
                              env=dict(os.environ, **ENVIRONMENT), check=False)
    except OSError:
        raise VolumeError(f"no {name} (Debian package mtools)") from None
    if done.returncode:
        complaint = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it failed"]
        raise VolumeError(f"{name}: {image}: {complaint[0]}")
    return done.stdout.decode("utf-8", "replace")


def format_volume(path, sectors, shape):
    """An empty volume of so many sectors, with the folders that every C: has."""
    path = Path(path)
    path.unlink(missing_ok=True)
    mtool("mformat", path, "-C", "-T", sectors, *shape, "::")
    mtool("mmd", path, *(f"::/{folder}" for folder in FOLDERS))
    return path


def make_volume(path, size=VOLUME_BYTES):
    """A sparse image with an empty volume; FAT16, clusters of 4 KiB."""
    format_volume(path, size // SECTOR, SHAPE)
    os.truncate(path, size)
    return Path(path)


def make_ram_volume(path):
    """The volume in RAM: FAT12, 720 KiB, of which only what is not zero is stored."""
    format_volume(path, RAM_SECTORS, RAM_SHAPE)
    content = Path(path).read_bytes().rstrip(b"\0")
    Path(path).write_bytes(content + bytes(-len(content) % SECTOR))
    return Path(path)


def copy_sparse(source, target):
    """A copy that takes no more room than the original has bytes."""
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", str(source), str(target)], check=True, timeout=60)


def fresh_volume(path, folder):
    """A new empty volume at path; the one in folder is the pattern, made once."""
    pattern = Path(folder) / "volume.img"
    if not pattern.exists():
        new = pattern.with_name(f"volume.{os.getpid()}.new")
        make_volume(new)
        os.replace(new, pattern)
    Path(path).unlink(missing_ok=True)
    copy_sparse(pattern, path)
    return Path(path)


def copy_out(path, folder):
    """Copies all that is on a volume into a folder that is there; returns the files' paths in it."""
    folder = Path(folder)
    names = [line.rstrip("/") for line in mtool("mdir", path, "-b", "-a", "::/").splitlines() if line.startswith("::/")]
    if names:
        mtool("mcopy", path, "-s", "-n", "-m", "-Q", *names, folder)
    return sorted(file for file in folder.rglob("*") if file.is_file())


def list_files(path):
    """All files of a volume, directories left out, sorted by path."""
    with tempfile.TemporaryDirectory(prefix="bugcheck-") as folder:
        return [File(str(file.relative_to(folder)), file.stat().st_size) for file in copy_out(path, folder)]


def read_file(path, name):
    """The bytes of one file of a volume."""
    with tempfile.TemporaryDirectory(prefix="bugcheck-") as folder:
        target = Path(folder) / "file"
        mtool("mcopy", path, "-n", f"::/{name}", target)
        return target.read_bytes()


def main(words):
    try:
        return run(words)
    except VolumeError as problem:
        print(f"volume: {problem}", file=sys.stderr)
        return 1


def run(words):
    if words[:1] == ["make"] and len(words) in (2, 3):
        make_volume(words[1], int(words[2]) << 20 if len(words) == 3 else VOLUME_BYTES)
    elif words[:1] == ["ram"] and len(words) == 2:
        make_ram_volume(words[1])
    elif words[:1] == ["list"] and len(words) == 2:
        for file in list_files(words[1]):
            print(f"{file.size:10} {file.path}")
    elif words[:1] == ["copy"] and len(words) == 3:
        Path(words[2]).mkdir(parents=True, exist_ok=True)
        copy_out(words[1], words[2])
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0
