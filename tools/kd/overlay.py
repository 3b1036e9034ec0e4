"""Our additions to GDB itself: printers, the unwinder, symbols of modules, thread names.

Both the debugger's own prompt (kd.start) and a plain GDB (kd.plain) install it.
"""

import gdb

from kd.model import printers, unwinder
from kd.model.threads import all_threads, name_of, stack_of, state_name, top_frame
from kd.target import modules, scope
from kd.target.command import KdError, first_line
from kd.target.memory import address_of, grave, is_readable, structure
from kd.target.modules import NOWHERE
from kd.target.processors import processors


def install():
    """Once, when the kernel's symbols are there."""
    for setting in ("disassembly-flavor intel", "print pretty on", "backtrace past-main on",
                    "print entry-values no"):
        gdb.execute(f"set {setting}")
    forget_initial_data()
    unwinder.install()
    printers.install()
    gdb.events.stop.connect(on_stop)
    ThreadList(list_waiting_threads)


def forget_initial_data():
    """Moves the kernel file's variables out of the way: what a dump leaves out is not there, and not what it was at first."""
    for number, section in enumerate((".data", ".bss")):
        try:
            gdb.execute(f"section {section} {NOWHERE + (number + 1 << 24):#x}", to_string=True)
        except gdb.error:
            return                          # no file is loaded, or it has no such section


def on_stop(event):
    """The machine has stopped: what was read of it no longer holds."""
    look()


def look():
    """Looks at a machine that has just stopped, or that a dump shows: modules and threads."""
    scope.chosen, scope.frame_number = None, 0
    if not is_up():
        return
    try:
        modules.refresh()
        name_processors()
    except (KdError, gdb.error) as problem:
        print(f"kd: {first_line(problem)}")


def is_up():
    """Whether the kernel has come far enough to be asked: its list of modules has an entry."""
    try:
        head = address_of("PsLoadedModuleList")
        if not is_readable(head, 16):
            return False
        return int(structure("LIST_ENTRY", head)["Flink"]) not in (0, head)
    except (KdError, gdb.error):
        return False


def name_processors():
    """GDB's threads are the CPUs: each gets the name of the kernel thread that runs on it."""
    for processor in processors():
        if processor.gdb_thread is not None:
            processor.gdb_thread.name = f"CPU {processor.number}: {name_of(processor.thread)}"


class ThreadList(gdb.Command):
    """info threads [N...]: the CPUs, each with the thread that it runs and its place; then the kernel threads that do not run.

    It takes the place of GDB's own list, which has QEMU's word for each CPU that is not halted: running, also of a machine that
    stands still."""

    def __init__(self, list_others=None):
        super().__init__("info threads", gdb.COMMAND_STATUS)
        self.list_others = list_others

    def invoke(self, arguments, from_tty):
        wanted = arguments.split()
        chosen = gdb.selected_thread()
        if chosen is None:
            print("No threads.")
            return
        frame = gdb.selected_frame()
        try:
            print("  Id   Target Id                    Frame")
            for thread in sorted(gdb.selected_inferior().threads(), key=lambda thread: thread.num):
                if not wanted or str(thread.num) in wanted:
                    print(f"{'*' if thread.num == chosen.num else ' '} {described(thread)}")
        finally:
            chosen.switch()
            frame.select()
        if self.list_others and not wanted:
            self.list_others()


def described(thread):
    """A CPU as GDB lists its threads: number, name, and its frame without the source."""
    thread.switch()
    gdb.newest_frame().select()
    where = gdb.execute("frame", to_string=True).splitlines()[0].partition("  ")[2]
    return f"{thread.num:<4} {thread.name or f'CPU {thread.num - 1}':28} {where}"


def list_waiting_threads():
    """Below the CPUs: the kernel threads that do not run now."""
    try:
        if is_up():
            print_waiting_threads()
    except (KdError, gdb.error) as problem:
        print(f"kd: {first_line(problem)}")


def print_waiting_threads():
    running = {processor.thread for processor in processors()}
    print("\nKernel threads that do not run (`thread ADDRESS` shows one, `.thread ADDRESS` in kd selects it):")
    print(f"  {'Thread':17}  {'Name':22} {'State':12} {'Wait reason':18} Frame")
    for thread in all_threads():
        if thread not in running:
            print(f"  {grave(thread)}  {describe(thread)}")


def describe(thread):
    """Name, state, wait reason, and the first frame that is not the scheduler's."""
    try:
        value = structure("KTHREAD", thread)
        state = int(value["State"])
        reason = wait_reason(int(value["WaitReason"])) if state == 5 else ""
        text = f"{name_of(thread):22} {state_name(state):12} {reason:18} "
        found = top_frame(stack_of(thread)) if state != 4 else None
        return text + (found.symbol if found else "")
    except KdError as problem:
        return f"{problem}"


def wait_reason(number):
    """Executive for 0: the names of KWAIT_REASON in the kernel's debug information."""
    for field in enumerators():
        if field.enumval == number:
            return field.name
    return f"reason {number}"


def enumerators():
    try:
        return gdb.lookup_type("KWAIT_REASON").strip_typedefs().fields()
    except gdb.error:
        return []
