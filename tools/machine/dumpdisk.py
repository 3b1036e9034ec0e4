"""The dump disk after a run: the kernel's dump becomes crash.elf, or the disk goes away.

The disk's content is the file already: it only has to be cut to its length. Beside it stays the image of the page file
(pagefile.img, shared.img of a seeded run), where the debugger finds what was paged out.
"""

from host.paths import OUT, shown
from machine.dumpfile import NotADump, inspect

MIB = 1 << 20


def forget_dump(folder):
    """Takes away what an earlier run left."""
    for name in ("crash.elf", "dump.img"):
        (folder / name).unlink(missing_ok=True)


def keep_dump(folder):
    """(path of crash.elf, Dump) when the machine, which has ended, wrote one onto folder/dump.img; else None."""
    image, kept = folder / "dump.img", folder / "crash.elf"
    if not image.exists():
        return None
    try:
        dump = inspect(image)
    except NotADump:
        image.unlink()
        return None
    with open(image, "r+b") as file:
        file.truncate(min(dump.total, dump.size))
    image.replace(kept)
    return kept, dump


def link_kernel(machine):
    """build/kernel.elf is the kernel of the last dump, so that `gdb build/kernel.elf build/run/crash.elf` fits."""
    link = OUT / "kernel.elf"
    link.unlink(missing_ok=True)
    link.symlink_to(f"{machine.build}/kernel.elf")


def dump_line(kept, dump):
    """One line for the user."""
    wrong = f"; {dump.problems[0]}" if dump.problems else ""
    size = f"{dump.total / MIB:.1f} MiB" if dump.total >= MIB else f"{dump.total >> 10} KiB"
    return f"dump: {shown(kept)} ({size}{wrong}): tools/bugcheck kd {shown(kept)}"
