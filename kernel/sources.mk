# Every source of the kernel, one a line, in the order in which to read them. `make -s core-list` prints the core's.
#
# CORE is the kernel within the kernel: read whole, and built, booted and told by `make core`. RING is
# the breadth of Windows around it: it joins the core by registering itself (kernel/include/ring.h), and no core file names it.
# A file in neither list, or in one and not on the disk, is an error.

# ---- From the boot loader to the first thread
CORE += boot/entry.asm                   # from 32-bit code to C in the high half
CORE += boot/bootinfo.c                  # GRUB's or QEMU's report of the machine, in one structure
CORE += boot/stop.c                      # the one line of a start that cannot go on
CORE += kernel/init/startup.c            # the order in which everything comes up
CORE += kernel/ke/options.c              # the kernel's command line
CORE += arch/x86_64/cpu.c                # the CPU's features, and its protections switched on
CORE += arch/x86_64/gdt.c                # segments, and the stacks of #DF, NMI and #MC
CORE += arch/x86_64/idt.c                # 256 gates to 256 stubs
CORE += arch/x86_64/processor.c          # each CPU's first work on itself
CORE += kernel/ke/processor.c            # each CPU's control block and idle thread
CORE += arch/x86_64/acpi.c               # the CPUs, I/O APICs and PM timer that the firmware tells of
CORE += arch/x86_64/apic.c               # the local APIC: IRQL's queue, and IPIs
CORE += arch/x86_64/ioapic.c             # interrupt lines become messages to a CPU
CORE += arch/x86_64/timer.c              # how fast the clocks run, measured
CORE += arch/x86_64/smp.c                # wakes the other CPUs
CORE += arch/x86_64/ap.asm               # another CPU's way from real mode into the kernel
CORE += arch/x86_64/halt.c               # the two ways to end
CORE += arch/x86_64/serial.c             # COM1 for people, COM2 for programs
CORE += arch/x86_64/framebuffer.c        # the screen as memory

# ---- IRQL, traps, interrupts, DPCs, the clock
CORE += arch/x86_64/irql.asm             # IRQL is CR8
CORE += arch/x86_64/trap.asm             # the one entry of every interrupt and exception
CORE += arch/x86_64/trap.c               # the meaning of a trap
CORE += arch/x86_64/interrupts.c         # which routine belongs to which vector
CORE += kernel/ke/dpc.c                  # an interrupt's work put off for later
CORE += kernel/ke/ipi.c                  # one CPU makes all the others do something
CORE += arch/x86_64/clock.c              # each CPU's tick
CORE += kernel/ke/clock.c                # the work of a tick
CORE += kernel/ke/clockdpc.c             # a DPC that waits for the clock

# ---- Locks and waits
CORE += arch/x86_64/spinlock.asm         # one exchange that only one CPU can win
CORE += kernel/ke/wait.c                 # waiting and being released
CORE += kernel/ke/event.c                # a flag to wait for
CORE += kernel/ke/semaphore.c            # a count of permits
CORE += kernel/ke/mutex.c                # owned by one thread, as often as it likes
CORE += kernel/ke/timer.c                # one list of timers in the order of due times
CORE += kernel/ke/delay.c                # sleeping for a time
CORE += kernel/ke/lockwait.c             # the locks that a thread holds, and the one it sleeps on
CORE += kernel/ke/fastmutex.c            # one locked instruction each, and an event for waiters

# ---- Threads
CORE += kernel/ke/scheduler.c            # which thread runs where
CORE += arch/x86_64/switch.asm           # seven words on one stack, seven from another
CORE += kernel/ke/thread.c               # a thread laid out, started, ended
CORE += kernel/ke/affinity.c             # a thread binds itself to some CPUs for a while
CORE += kernel/ke/apc.c                  # a routine that runs in a chosen thread
CORE += kernel/ke/region.c               # counts that keep APCs away
CORE += kernel/ob/object.c               # references, and the end of the last one
CORE += kernel/ps/create.c               # system threads as objects
CORE += kernel/ps/exit.c                 # the checks of a thread that ends
CORE += kernel/ps/reaper.c               # frees ended threads and their stacks
CORE += kernel/ex/work.c                 # work items and the threads that run them

# ---- Memory: the map, frames, page tables
CORE += kernel/mm/layout.c               # the one table of address regions
CORE += kernel/mm/address.c              # an address's page-table entries
CORE += kernel/mm/initialize.c           # from the boot page tables to a memory manager
CORE += kernel/mm/pfn.c                  # one MMPFN for each frame of RAM
CORE += kernel/mm/range.c                # which pages of a region are given out
CORE += kernel/mm/mapping.c              # pages behind addresses
CORE += kernel/mm/systempte.c            # address space for device registers
CORE += kernel/mm/stacks.c               # kernel stacks with guard pages
CORE += kernel/mm/image.c                # memory for driver images, part of it pageable
CORE += kernel/mm/contiguous.c           # frames side by side, for devices

# ---- Memory: demand paging
CORE += kernel/mm/fault.c                # the page fault: IRQL first
CORE += kernel/mm/pagein.c               # a legal fault resolved
CORE += kernel/mm/trim.c                 # takes away pages not touched lately
CORE += kernel/mm/pageout.c              # writes dirty pages to the page file
CORE += kernel/mm/pagefile.c             # page-sized slots on a raw disk
CORE += kernel/mm/commit.c               # every page handed out has a place to go to
CORE += kernel/mm/zeropage.c             # zeroes free pages in idle time

# ---- Memory: the two pools
CORE += kernel/mm/pool.c                 # ExAllocatePool and ExFreePool
CORE += kernel/mm/poolblock.c            # pages carved into blocks
CORE += kernel/mm/bigpool.c              # blocks of whole pages
CORE += kernel/mm/poolshadow.c           # the blocks of a page that is not in memory
CORE += kernel/mm/pooltag.c              # bytes and counts for each tag
CORE += kernel/mm/poolfind.c             # which block an address lies in
CORE += kernel/mm/pooldamage.c           # codes and parameters of pool damage

# ---- Drivers as modules
CORE += kernel/ldr/load.c                # from a name to a running driver
CORE += kernel/ldr/elf.c                 # checks an ELF file before following its tables
CORE += kernel/ldr/layout.c              # a module's sections get their addresses
CORE += kernel/ldr/relocate.c            # binds imports to the kernel's exports
CORE += kernel/ldr/module.c              # which module an address belongs to
CORE += kernel/ldr/unload.c              # takes a driver out again

# ---- Drivers, devices, requests
CORE += kernel/io/driver.c               # the driver object and its table of routines
CORE += kernel/io/device.c               # the targets of requests
CORE += kernel/io/irp.c                  # the I/O request packet on its way down
CORE += kernel/io/complete.c             # and on its way up
CORE += kernel/io/build.c                # control requests that one driver builds for another
CORE += kernel/io/buffer.c               # the copy that a driver works on
CORE += kernel/io/interrupt.c            # a vector, a service routine and their lock
CORE += kernel/io/msix.c                 # an interrupt is a write by the device
CORE += kernel/io/pciconfig.c            # PCI configuration space, scanned once
CORE += kernel/io/pcibar.c               # where a device's memory is, and how much
CORE += kernel/init/disks.c              # one disk driver after the other
CORE += kernel/io/block.c                # the list of disks

# ---- The end of the machine
CORE += kernel/ke/exception.c            # exceptions and assertions, which no code handles
CORE += kernel/ke/stackcheck.c           # the word that must not change
CORE += kernel/ke/bugcheck.c             # rewrite, latch, freeze, hand over
CORE += kernel/ke/bugsteps.c             # the steps after the freeze
CORE += kernel/report/bugtable.c         # bugcodes.def as data
CORE += kernel/report/bugreport.c        # the parts of the report
CORE += kernel/report/stack.c            # walks a stack, reads nothing unconfirmed
CORE += kernel/ldr/symbols.c             # from an address to a function and a line
CORE += kernel/report/bugdecode.c        # a parameter's meaning, in words
CORE += kernel/mm/describe.c             # an address in words
CORE += kernel/report/bugcpus.c          # each CPU's work when it died
CORE += kernel/report/bugwindow.c        # paragraphs in a rectangle or on COM1
CORE += kernel/report/bugscreen.c        # the blue screen
CORE += kernel/report/end.c              # how it ended, for programs
CORE += kernel/kd/trace.c                # the rings of the event trace

# ---- Text
CORE += kernel/kd/print.c                # text for people on COM1, for programs on COM2
CORE += kernel/kd/dbgprint.c             # drivers' text
CORE += kernel/kd/console.c              # the boot text on the screen
CORE += kernel/kd/screen.c               # cells, lines and boxes of colour
CORE += kernel/kd/font.c                 # which bitmap shows which character
CORE += arch/x86_64/font.asm             # the font itself
CORE += kernel/rtl/format.c              # printf as NT has it
CORE += kernel/rtl/string.c              # memory and byte strings
CORE += kernel/rtl/codepage.c            # the code page between bytes and UTF-16
CORE += kernel/rtl/archive.c             # the boot archive, believed in nothing

# ---- The story
CORE += kernel/story/scenarios.c         # the short scenarios, and whether one ended as expected
CORE += kernel/story/acts.c              # the five acts
CORE += kernel/story/puppet.c            # loads a demo driver and moves its memory
CORE += kernel/story/pressure.c          # a hungry thread takes the driver's page
CORE += kernel/story/tell.c              # headings, paragraphs, a page-table entry in words

# ==== The ring =====================================================================================================

# ---- The machine
RING += arch/x86_64/pciplace.c           # addresses for PCI devices, where no firmware has given them
RING += arch/x86_64/rtc.c                # the date, read once from the battery-backed clock
RING += arch/x86_64/powerbutton.c        # the power button, which a tool may press
RING += arch/x86_64/readmodify.c         # a read-modify-write that faults counts as a write
RING += arch/x86_64/slist.asm            # the S-list: a stack exchanged whole, without a lock
RING += kernel/dump/drivercfi.asm        # how a debugger gets through a driver without symbols
RING += arch/x86_64/brokenlock.asm       # the lock that does not lock, to step through

# ---- More ways to lock, wait and run
RING += arch/x86_64/queuedlock.asm       # first come, first served, each on its own word
RING += kernel/ke/lockholder.c           # which CPU holds a spin lock
RING += kernel/ke/queuedlock.c           # NT's numbered queued spin locks
RING += kernel/ke/rwspinlock.c           # many readers or one writer, at DISPATCH_LEVEL
RING += kernel/ke/autoboost.c            # which locks a thread holds
RING += kernel/ke/alert.c                # alerts and user APCs, which end alertable waits
RING += kernel/ke/group.c                # CPUs by number, mask and group
RING += kernel/ke/priority.c             # a thread's priority, set and asked
RING += kernel/ke/precisetime.c          # the time between two ticks
RING += kernel/ke/timercheck.c           # timers in memory that is about to go
RING += kernel/ke/inspect.c              # threads, timers and DPCs for an observer
RING += kernel/ke/threadeddpc.c          # DPCs that a thread runs
RING += kernel/ke/watchdog.c             # CPUs that have stopped making progress

# ---- The executive
RING += kernel/ex/probe.c                # whether an address is a program's
RING += kernel/ex/pushlock.c             # readers and writers in one pointer
RING += kernel/ex/resource.c             # ERESOURCE: readers and writers known by name
RING += kernel/ex/resourcequery.c        # questions to a resource, owners that are no threads
RING += kernel/ex/rundown.c              # an object that waits for its last user
RING += kernel/ex/slist.c                # the fault that a pop may take for nothing
RING += kernel/ex/lookaside.c            # freed blocks of one size wait in an S-list
RING += kernel/ex/interlocked.c          # one step on a list or number under a lock
RING += kernel/ex/callback.c             # callback objects, which drivers meet at by name
RING += kernel/ex/registry.c             # registry callbacks, of a machine without a registry
RING += kernel/ex/inspect.c              # owners of locks, and work items, for an observer
RING += kernel/ex/strings.c              # counted strings in paged pool
RING += kernel/ex/random.c               # rand and srand
RING += kernel/ex/version.c              # which Windows this machine says it is

# ---- Objects, names, handles, processes
RING += kernel/ob/directory.c            # the names that objects have
RING += kernel/ob/lookup.c               # from a path to an object
RING += kernel/ob/name.c                 # from an object to its path
RING += kernel/ob/symlink.c              # a name that stands for another
RING += kernel/ob/handle.c               # the handle table
RING += kernel/ob/handlecalls.c          # a second handle, and a handle described
RING += kernel/ob/open.c                 # by name, by pointer, by OBJECT_ATTRIBUTES
RING += kernel/ob/callback.c             # drivers asked before a handle is made
RING += kernel/ps/thread.c               # threads with handles, for drivers
RING += kernel/ps/process.c              # the two processes, System and Idle
RING += kernel/ps/callback.c             # a set of routines for a kind of event
RING += kernel/ps/notify.c               # drivers told of processes, threads and images

# ---- More of the memory manager
RING += kernel/mm/view.c                 # the cache of disk pages, for file systems
RING += kernel/mm/mdl.c                  # the frames behind a buffer
RING += kernel/mm/lockpages.c            # pages kept in memory
RING += kernel/mm/copymemory.c           # a copy that stops where there is nothing
RING += kernel/mm/specialpool.c          # the verifier's pool: one block a page
RING += kernel/mm/poolusage.c            # the pool's use, a line a tag
RING += kernel/mm/bigpoolgrow.c          # more than the first 192 blocks of whole pages
RING += kernel/mm/devicememory.c         # memory for devices, with a cache type
RING += kernel/mm/poolcalls.c            # the younger ways to ask for pool
RING += kernel/mm/dumppage.c             # an address's place in a dump

# ---- More of the I/O manager
RING += kernel/io/ramstore.c             # a page file in RAM where there is no disk
RING += kernel/io/ramvolume.c            # C: in RAM where there is no disk
RING += kernel/io/secure.c               # a device's access rights, in SDDL
RING += kernel/io/null.c                 # takes everything, gives nothing
RING += kernel/io/attach.c               # device stacks
RING += kernel/io/driverextension.c      # memory attached to a driver object
RING += kernel/io/devicename.c           # the names of devices and drivers
RING += kernel/io/buildtransfer.c        # reads and writes that drivers build for others
RING += kernel/io/irpcalls.c             # an IRP's size, reuse and parts
RING += kernel/io/request.c              # IRPs that the I/O manager sends for a caller
RING += kernel/io/forward.c              # down the stack, and back before going on
RING += kernel/io/cancel.c               # taking a request back
RING += kernel/io/csq.c                  # a driver's queue whose requests can be cancelled
RING += kernel/io/threadirp.c            # the requests of a thread
RING += kernel/io/inspect.c              # requests for an observer
RING += kernel/io/mdl.c                  # MDLs as the I/O manager hands them out
RING += kernel/io/packet.c               # StartIo
RING += kernel/io/devicequeue.c          # a device that does one thing at a time
RING += kernel/io/timer.c                # a device's routine, once a second
RING += kernel/io/workitem.c             # a work item that keeps its device
RING += kernel/io/removelock.c           # how many requests are inside a driver
RING += kernel/io/interruptlock.c        # an interrupt's lock without its routine
RING += kernel/io/shutdown.c             # devices told of an orderly end
RING += kernel/io/open.c                 # from a name to a device
RING += kernel/io/fileobject.c           # one open of a file
RING += kernel/io/create.c               # ZwCreateFile
RING += kernel/io/share.c                # whether a file may be opened once more
RING += kernel/io/call.c                 # the frame of every Zw call on a handle
RING += kernel/io/readwrite.c            # ZwReadFile and ZwWriteFile
RING += kernel/io/control.c              # ZwDeviceIoControlFile
RING += kernel/io/fileinfo.c             # a file's information, asked and set
RING += kernel/io/dirquery.c             # a directory's contents
RING += kernel/io/byname.c               # calls that take a name and leave no handle
RING += kernel/io/event.c                # events with names and handles

# ---- The run-time library
RING += kernel/rtl/ansi.c                # counted byte strings
RING += kernel/rtl/unicode.c             # counted UTF-16 strings
RING += kernel/rtl/upcase.c              # upper and lower case
RING += kernel/rtl/integer.c             # numbers and GUIDs as text
RING += kernel/rtl/time.c                # NT's time as a date
RING += kernel/rtl/bitmap.c              # bits in an array of ULONGs
RING += kernel/rtl/sort.c                # qsort and bsearch
RING += kernel/rtl/crt.c                 # the C library's formatted printing
RING += kernel/rtl/narrow.c              # its str family
RING += kernel/rtl/wide.c                # its wcs family
RING += kernel/rtl/number.c              # its characters and numbers

# ---- More of the report, and the crash dump
RING += kernel/report/bugcallback.c      # drivers' callbacks when the machine dies
RING += kernel/report/bugtrace.c         # the last events of the guilty CPU
RING += kernel/dump/bugdump.c            # the bugcheck's part of the dump
RING += kernel/dump/dump.c               # a dying kernel's legacy
RING += kernel/dump/dumpchosen.c         # a small dump's contents
RING += kernel/dump/dumpranges.c         # which addresses a dump holds
RING += kernel/dump/dumpelf.c            # the headers in front of the memory
RING += kernel/dump/dumpdisk.c           # bytes onto the dump disk, polled
RING += kernel/dump/crc32.c              # the dump's checksum

# ---- Driver Verifier
RING += kernel/vf/verifier.c             # the verified drivers and the options
RING += kernel/vf/verifierirql.c         # pageable memory taken away before IRQL rises
RING += kernel/vf/verifierspin.c         # thunks of spin locks
RING += kernel/vf/verifiermutex.c        # thunks of fast and guarded mutexes
RING += kernel/vf/verifierresource.c     # thunks of resources and push locks
RING += kernel/vf/verifierwait.c         # thunks of events, waits and mutexes
RING += kernel/vf/verifierpool.c         # thunks of the pool
RING += kernel/vf/verifiertrack.c        # each driver's pool blocks
RING += kernel/vf/verifierobject.c       # objects and the memory that they lie in
RING += kernel/vf/verifierio.c           # calls into drivers and back
RING += kernel/vf/verifierirp.c          # a driver's duty to each request
RING += kernel/vf/verifiersend.c         # how a request may be sent, completed, freed
RING += kernel/vf/verifierdevice.c       # devices, and the buffers of requests for one
RING += kernel/vf/verifierservice.c      # thunks of the Zw calls
RING += kernel/vf/verifierreport.c       # its part of the report
RING += kernel/vf/deadlock.c             # the graph of lock order
RING += kernel/vf/deadlockreport.c       # a violation of lock order in words

# ---- The judge of drivers, tests inside the kernel, and places to step
RING += kernel/ldr/bootdrivers.c         # the drivers of the boot option load=
RING += kernel/ldr/routine.c             # MmGetSystemRoutineAddress
RING += kernel/judge/judge.c             # loads drivers and says how they ended
RING += kernel/judge/watch.c             # the judged drivers' threads and timers
RING += kernel/judge/deadlock.c          # why their threads get nowhere
RING += kernel/judge/left.c              # their requests and APCs left with others
RING += kernel/story/testmodule.c        # the tests inside the kernel
RING += kernel/story/verified.c          # the scenario under the verifier
RING += kernel/story/step.c              # places worth single-stepping

# ---- Code that follows pointers which a driver can damage: a fault in it at raised IRQL has a bugcheck of its own (ke/bugcheck.c)
BLAMED_pool += kernel/mm/pool.c          # 0xC5
BLAMED_pool += kernel/mm/poolblock.c     # 0xC5
BLAMED_pool += kernel/mm/bigpool.c       # 0xC5
BLAMED_pool += kernel/mm/bigpoolgrow.c   # 0xC5
BLAMED_pool += kernel/mm/poolshadow.c    # 0xC5
BLAMED_pool += kernel/mm/pooltag.c       # 0xC5
BLAMED_pool += kernel/mm/poolfind.c      # 0xC5
BLAMED_pool += kernel/mm/poolcalls.c     # 0xC5
BLAMED_pages += kernel/mm/mapping.c      # 0xD0
BLAMED_ptes += kernel/mm/systempte.c     # 0xDB
BLAMED_ptes += kernel/mm/devicememory.c  # 0xDB
BLAMED_ptes += kernel/mm/range.c         # 0xDB

# ---- Only in the checked build, BUILD=ubsan and BUILD=race, only in one of these two, and only for the build
CHECKED += kernel/ke/checkedlock.c       # notes around each change of IRQL and each spin lock
CHECKED += kernel/ke/lockcheck.c         # the holder of each spin lock, and the order
UBSAN := kernel/kd/ubsan.c               # the compiler's calls where behaviour is undefined
RACE += kernel/kd/race.c                # accesses delayed and watched
RACE += kernel/kd/racecalls.c           # the compiler's calls in front of each access
RACE += kernel/kd/racereport.c          # the races in words
OFFSETS := arch/x86_64/offsets.c         # structure offsets for the assembler
