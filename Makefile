# Bugcheck: everything that can be built. `make help` lists the targets.
# Without make's own rules, of which none is used here: to try them on some hundred files takes longer than all else when
# nothing is to be done.
MAKEFLAGS += --no-builtin-rules --no-builtin-variables
BUILD ?= checked
OUT   ?= build
B     := $(OUT)/$(BUILD)
G     := $(B)/generated
PYTHON ?= /usr/bin/python3
TOOL := $(PYTHON) tools/tool

# The compiler and binutils: the host's own, or, where that is no x86-64, those for x86-64. The tools read CROSS too.
CROSS ?= $(if $(filter x86_64 amd64,$(shell uname -m)),,x86_64-linux-gnu-)
export CROSS
CC   := $(CROSS)gcc
CXX  := $(CROSS)g++
LD   := $(CROSS)ld
NASM := nasm
# The text font, 8x16 in either PSF format: Spleen, or, on systems that do not have it, kbd's.
FONT := $(firstword $(wildcard /usr/share/consolefonts/spleen-8x16.psfu.gz /usr/*/kbd/consolefonts/default8x16.psfu.gz) \
          /usr/share/consolefonts/spleen-8x16.psfu.gz)

ifeq ($(filter $(BUILD),checked free step ubsan race core),)
$(error BUILD is '$(BUILD)': it must be checked, free, step, ubsan, race or core)
endif

# ---- Sources: kernel/sources.mk lists each with a few words ------------------------------------------------------------
include kernel/sources.mk
LISTED  := $(CORE) $(RING) $(CHECKED) $(UBSAN) $(RACE) $(OFFSETS)
PRESENT := $(wildcard $(addsuffix /*.c,boot arch/* kernel/*) $(addsuffix /*.asm,boot arch/* kernel/*))
$(foreach f,$(filter-out $(LISTED),$(PRESENT)),$(error kernel/sources.mk does not list $(f): add it to CORE or RING))
$(foreach f,$(filter-out $(PRESENT),$(LISTED)),$(error kernel/sources.mk lists $(f), which is not there: take the line out))
BLAMED := pool pages ptes
$(foreach b,$(BLAMED),$(foreach f,$(filter-out $(CORE) $(RING),$(BLAMED_$(b))),\
    $(error kernel/sources.mk: BLAMED_$(b) names $(f), no source)))
$(foreach f,$(sort $(LISTED)),$(if $(word 2,$(filter $(f),$(LISTED))),$(error kernel/sources.mk lists $(f) twice)))

KERNEL     := $(CORE) $(if $(filter-out core,$(BUILD)),$(RING)) $(if $(filter checked ubsan race,$(BUILD)),$(CHECKED)) \
              $(if $(filter ubsan,$(BUILD)),$(UBSAN)) $(if $(filter race,$(BUILD)),$(RACE))
KERNEL_C   := $(filter %.c,$(KERNEL))
KERNEL_ASM := $(filter %.asm,$(KERNEL))

# ---- Flags --------------------------------------------------------------------------------------------------------
WARN := -Wall -Wextra -Wno-multichar $(if $(WERROR),-Werror) $(if $(ANALYZE),-fanalyzer -g1)
BASE := -g -ffreestanding -mcmodel=kernel -mno-red-zone -mgeneral-regs-only -fno-omit-frame-pointer -fno-pic \
        -fshort-wchar -fno-strict-aliasing -fno-asynchronous-unwind-tables -fcf-protection=none -MMD -MP
CHECKED_free    := -DDBG=0
CHECKED_core    := -DDBG=0
CHECKED_step    := -DDBG=0
CHECKED_checked := -DDBG=1 -DCHECKED=1
CHECKED_ubsan   := -DDBG=1 -DCHECKED=1 -fsanitize=undefined
# A call in front of each access (kernel/kd/race.c): not in the files that are called, nor where pixels are written by the million.
UNWATCHED := $(RACE) kernel/kd/screen.c
WATCHED := -fsanitize=thread --param=tsan-distinguish-volatile=1 --param=tsan-instrument-func-entry-exit=0 -Wno-tsan
CHECKED_race    := -DDBG=1 -DCHECKED=1 $(WATCHED)
CHECK  := $(CHECKED_$(BUILD))
# For stepping through the C: each statement has code of its own, and each function is one.
OPTIMIZE := $(if $(filter step,$(BUILD)),-Og -fno-inline,-O2)
# Functions begin at 16 bytes; labels inside them are not padded: TCG gains nothing by it, and the text is 12 KiB less.
CFLAGS := -std=gnu11 $(OPTIMIZE) $(BASE) $(CHECK) $(WARN) -fno-optimize-sibling-calls -falign-jumps=1 -falign-loops=1 \
          -fstack-protector-strong -mstack-protector-guard=global -Wframe-larger-than=4000 \
          -Ikernel/include -Ikernel/include/ddk -Iarch/x86_64/include -Iboot -I$(G)
NASMFLAGS := -f elf64 -g -F dwarf $(if $(filter checked ubsan race,$(BUILD)),-p checked.inc) -I$(G)/ -Iarch/x86_64/
# Drivers see the public headers only. -O1 -fno-inline: a PAGE function must stay a function (docs/drivers).
# -fstack-clash-protection: a large array on the stack is touched page by page at the function's entry, as by Windows'
# compiler, so that it cannot step over the guard pages. The kernel's own frames are all far smaller than a page.
DRIVER_FLAGS := $(if $(filter step,$(BUILD)),-Og -DKD_PRINTS,-O1) -fno-inline -ffunction-sections -fno-builtin \
          -fms-extensions -fstack-protector-strong -fstack-clash-protection \
          -mstack-protector-guard=global $(BASE) $(filter-out -fsanitize=undefined,$(CHECK)) $(WARN) -Wno-multichar -Wno-unknown-pragmas \
          -Wno-incompatible-pointer-types -Wno-pointer-to-int-cast -Ikernel/include/ddk -Ikernel/include/ddk/crt
DRIVER_CFLAGS   := -std=gnu11 $(DRIVER_FLAGS)
DRIVER_CXXFLAGS := -std=gnu++17 -fno-exceptions -fno-rtti -fno-threadsafe-statics -Wno-narrowing \
          $(filter-out -Wno-incompatible-pointer-types -Wno-pointer-to-int-cast,$(DRIVER_FLAGS))

# Drivers from elsewhere (tools/bugcheck driver): as ours, without our warnings; KdPrint prints in every build.
JUDGED := -fdata-sections -fdiagnostics-color=never -fno-diagnostics-show-option -fmax-errors=20 -DKD_PRINTS \
          -D_WIN64 -D_AMD64_ -DAMD64 -D_M_AMD64=100 -D_M_X64=100 -DWINNT=1
JUDGED_CFLAGS   := $(filter-out -MMD -MP -Wall -Wextra,$(DRIVER_CFLAGS)) -Werror=implicit-function-declaration \
          -Wno-int-conversion -Wno-implicit-int -Wno-return-mismatch $(JUDGED)
JUDGED_CXXFLAGS := $(filter-out -MMD -MP -Wall -Wextra,$(DRIVER_CXXFLAGS)) -fpermissive $(JUDGED)

KERNEL_OBJECTS := $(KERNEL_C:%.c=$(B)/obj/%.o) $(KERNEL_ASM:%.asm=$(B)/obj/%.asm.o)
OBJECTS        := $(KERNEL_OBJECTS) $(B)/obj/generated/exports.o

.PHONY: all kernel core core-list drivers iso run driver test bench lint lint-changed docs doctor gdb help clean
.DELETE_ON_ERROR:
.SECONDARY:
all: iso

# ---- Kernel -------------------------------------------------------------------------------------------------------
kernel: $(B)/kernel.elf

# The kernel within the kernel: exactly the files of CORE, as free as BUILD=free; and their paths, in the order in which to read them.
core:
	@$(MAKE) --no-print-directory BUILD=core iso
core-list:
	@printf '%s\n' $(CORE)

$(B)/kernel.elf: $(OBJECTS) boot/kernel.ld
	@echo "  LD      $@"
	@$(LD) -n -nostdlib -z noexecstack -z max-page-size=4096 --build-id=none --no-warn-rwx-segments -T boot/kernel.ld -o $@ $(OBJECTS)

# The code of a file that a list BLAMED_x names gets the section .text.blamed.x: kernel.ld keeps them together.
PLACE      = $(patsubst $(OVERLAY)/%,%,$<)
BLAME      = $(strip $(foreach b,$(BLAMED),$(if $(filter $(PLACE),$(BLAMED_$(b))),$(b))))
AS_BLAMED  = $(CROSS)objcopy $(foreach s,.text .text.unlikely,--rename-section $(s)=.text.blamed.$(BLAME))

define COMPILE
	@mkdir -p $(@D)
	@echo "  CC      $<"
	@$(CC) $(filter-out $(if $(filter $(PLACE),$(UNWATCHED)),$(WATCHED)),$(CFLAGS)) $(if $(OVERLAY),-iquote $(dir $(PLACE))) -c $< -o $@
	@$(if $(BLAME),$(AS_BLAMED) $@)
endef
define ASSEMBLE
	@mkdir -p $(@D)
	@echo "  NASM    $<"
	@$(NASM) $(NASMFLAGS) -MD $(@:.o=.d) -MT $@ $< -o $@.new
	@$(CROSS)objcopy --wildcard --strip-symbol='..@*' --strip-symbol='Cfi*' $@.new  # labels of macros would hide the functions' names
	@mv $@.new $@
endef

$(B)/obj/%.o: %.c | $(G)/offsets.inc
	$(COMPILE)
$(B)/obj/%.asm.o: %.asm $(wildcard arch/x86_64/*.inc) $(G)/offsets.inc $(G)/font.psf
	$(ASSEMBLE)

# OVERLAY=FOLDER: a kernel with FOLDER's files in place of the tree's of the same paths (a lab's: tools/build/labs.py).
OVERLAY ?=
ifneq ($(OVERLAY),)
define overlaid_rule
$(B)/obj/$(patsubst %.c,%.o,$(1:.asm=.asm.o)): $(OVERLAY)/$(1)
	$$($(if $(filter %.c,$(1)),COMPILE,ASSEMBLE))
endef
$(foreach f,$(KERNEL),$(if $(wildcard $(OVERLAY)/$(f)),$(eval $(call overlaid_rule,$(f)))))
endif

# Structure offsets for the assembler, read out of the C compiler's output for arch/x86_64/offsets.c.
$(G)/offsets.inc: $(OFFSETS) $(wildcard kernel/include/*.h kernel/include/ddk/*.h arch/x86_64/include/*.h)
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) -S $< -o $(G)/offsets.s -MF $(G)/offsets.d
	@sed -n 's/^.*@OFFSET \([A-Za-z0-9_]*\) \$$*\(-\?[0-9]*\).*$$/%define \1 \2/p' $(G)/offsets.s > $@.new
	@cmp -s $@.new $@ && touch $@ || mv $@.new $@

# The core exports those names of the whole kernel's exports that it has; BUILD=race also the compiler's calls.
CALLS := $(if $(filter race,$(BUILD)),$(B)/obj/kernel/kd/racecalls.o)
$(G)/exports.c: kernel/ldr/exports.def tools/build/mkexports.py $(if $(filter core,$(BUILD)),$(KERNEL_OBJECTS)) $(CALLS)
	@mkdir -p $(@D)
	@$(TOOL) build.mkexports $(CALLS:%=--also %) $< $@ $(filter-out $(CALLS),$(filter %.o,$^))

$(B)/obj/generated/exports.o: $(G)/exports.c
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) -fno-builtin -c $< -o $@

$(G)/font.psf: $(FONT)
	@mkdir -p $(@D)
	@gzip -dc $< > $@

# ---- Drivers: each list is the sources of one .sys ------------------------------------------------------------------
include kernel/drivers/drivers.mk
ifeq ($(BUILD),core)
DRIVERS          := $(filter-out $(RING_DRIVERS),$(DRIVERS))
INTERNAL_DRIVERS :=
endif

DRIVER_OBJECTS   = $(patsubst %,$(B)/drv/%.o,$(basename $(1)))
INTERNAL_OBJECTS = $(patsubst %,$(B)/int/%.o,$(basename $(1)))
DRIVER_FILES   := $(DRIVERS:%=$(B)/drivers/%.sys) $(INTERNAL_DRIVERS:%=$(B)/drivers/%.sys)
SYMBOL_FILES   := $(B)/symbols/kernel.sym $(DRIVERS:%=$(B)/symbols/%.sym) $(INTERNAL_DRIVERS:%=$(B)/symbols/%.sym)

drivers: $(DRIVER_FILES)
demos: $(DRIVERS:%=$(B)/drivers/%.sys)
.PHONY: demos

$(B)/drv/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC [D]  $<"
	@$(CC) $(DRIVER_CFLAGS) $(DRIVER_EXTRA_$(notdir $*)) -c $< -o $@

$(B)/drv/%.o: %.cc
	@mkdir -p $(@D)
	@echo "  CXX [D] $<"
	@$(CXX) $(DRIVER_CXXFLAGS) -c $< -o $@

define driver_rule
$(B)/drivers/$(1).sys: $(call DRIVER_OBJECTS,$(SOURCES_$(1))) tools/build/mkdriver.py tools/build/elffile.py
	@mkdir -p $$(@D)
	@echo "  SYS     $$@"
	@$(TOOL) build.mkdriver --output $$@ $(SOURCES_$(1)) -- $(call DRIVER_OBJECTS,$(SOURCES_$(1)))
endef
$(foreach d,$(DRIVERS),$(eval $(call driver_rule,$(d))))

# Modules that test the kernel from inside: its own headers and flags, bound to the addresses of this very kernel.
$(B)/int/%.o: %.c | $(G)/offsets.inc
	@mkdir -p $(@D)
	@echo "  CC [T]  $<"
	@$(CC) $(CFLAGS) -ffunction-sections -c $< -o $@

$(B)/int/%.o: %.asm
	@mkdir -p $(@D)
	@echo "  ASM [T] $<"
	@$(NASM) $(NASMFLAGS) -MD $(@:.o=.d) -MT $@ -o $@ $<

define internal_rule
$(B)/drivers/$(1).sys: $(call INTERNAL_OBJECTS,$(SOURCES_$(1))) $(B)/kernel.elf tools/build/mkdriver.py tools/build/elffile.py
	@mkdir -p $$(@D)
	@echo "  SYS [T] $$@"
	@$(TOOL) build.mkdriver --output $$@ --kernel $(B)/kernel.elf $(SOURCES_$(1)) -- $(call INTERNAL_OBJECTS,$(SOURCES_$(1)))
endef
$(foreach d,$(INTERNAL_DRIVERS),$(eval $(call internal_rule,$(d))))

$(B)/symbols/kernel.sym: $(B)/kernel.elf tools/build/mksymbols.py
	@mkdir -p $(@D)
	@$(TOOL) build.mksymbols $< $@

$(B)/symbols/%.sym: $(B)/drivers/%.sys tools/build/mksymbols.py
	@mkdir -p $(@D)
	@$(TOOL) build.mksymbols $< $@

# C: for machines without a disk for it.
$(B)/c.img: tools/machine/volume.py
	@mkdir -p $(@D)
	@$(TOOL) machine.volume ram $@

$(B)/boot.cpio: $(DRIVER_FILES) $(SYMBOL_FILES) $(B)/c.img
	@echo "  CPIO    $@"
	@cd $(B) && printf '%s\n' c.img $(patsubst $(B)/%,%,$(DRIVER_FILES) $(SYMBOL_FILES)) | \
	    cpio --quiet -o -H newc > boot.cpio.new && mv boot.cpio.new boot.cpio

archive: $(B)/boot.cpio
.PHONY: archive

# For tools/cli/driver.py: the machine, and the two lines of flags (C, C++) to compile a driver with.
judge: $(B)/kernel.elf $(B)/boot.cpio $(B)/driver.flags
$(B)/driver.flags: Makefile
	@mkdir -p $(@D)
	@printf '%s\n' '$(JUDGED_CFLAGS)' '$(JUDGED_CXXFLAGS)' > $@
.PHONY: judge

# ---- ISO and tools ------------------------------------------------------------------------------------------------
iso: $(B)/bugcheck.iso

$(B)/bugcheck.iso: $(B)/kernel.elf $(B)/boot.cpio boot/grub.cfg tools/build/mkiso tools/scenarios kernel/story/scenarios.def
	@echo "  ISO     $@"
	@tools/build/mkiso $(B)/kernel.elf $(B)/boot.cpio $@

run:
	@tools/bugcheck run $(SCENARIO)
driver:
	@tools/bugcheck driver $(FILE)
test:
	@tools/bugcheck test
bench:
	@OUT='$(OUT)' $(TOOL) cli.bench
# Clean trees of other systems; the last commit is tried in them.
hosts:
	@$(TOOL) cli.hosts $(HOSTS) $(if $(TESTS),--tests "$(TESTS)") $(if $(REUSE),--reuse) $(if $(TREES),--trees "$(TREES)") \
	    $(if $(MIRROR),--mirror "$(MIRROR)")
.PHONY: hosts
doctor:
	@tools/bugcheck doctor
gdb:
	@tools/bugcheck gdb $(SCENARIO)
step:
	@tools/bugcheck step $(SUBJECT)
explore:
	@tools/bugcheck explore $(NAME)
models:
	@tools/bugcheck models $(NAME) $(if $(MUTATION),--mutation $(MUTATION))
soak:
	@tools/bugcheck soak $(if $(RUNS),--runs $(RUNS)) $(if $(JOBS),--jobs $(JOBS)) $(if $(RESUME),--resume)
races:
	@tools/bugcheck races $(TESTS)
kd:
	@tools/bugcheck kd $(FILE)
rewind:
	@tools/bugcheck rewind $(if $(TO),--to $(TO))
trace:
	@tools/bugcheck trace $(FILE)
.PHONY: step explore models soak races kd rewind trace
# Each lab's solution gets all points, its starter those that it should, each wrong solution loses its parts.
labs-proof:
	@tools/bugcheck grade selfcheck $(LAB)
.PHONY: labs-proof
# Faults planted on purpose, in copies of the tree under OUT/mutants.
mutants:
	@$(TOOL) cli.mutants $(if $(FOLDER),--folder $(FOLDER)) $(if $(NAME),--name $(NAME)) $(if $(JOBS),--jobs $(JOBS)) $(if $(FRESH),--fresh)
.PHONY: mutants

# What the documents quote and tabulate, written anew from the code. tests/test_docs.py fails when they differ. The session in
# docs/debugging.md boots the checked build: with symbols of an older kernel it would name wrong lines.
docs: archive
	@for tool in tables quotes driverheads wdmtable sessions; do $(TOOL) docs.$$tool --update || exit 1; done

# Once for each file and content: cppcheck remembers those in which nothing has changed. Bounds that the linker sets look to it
# like two objects; Debian 13's also tells how deep it looks.
CPPCHECK = --quiet --std=c11 --enable=warning,portability --inline-suppr --error-exitcode=1 --suppress=missingInclude \
    --suppress=comparePointers --suppress=subtractPointers --suppress=normalCheckLevelMaxBranches \
    -DDBG=1 -DCHECKED=1 -Ikernel/include -Ikernel/include/ddk -Iarch/x86_64/include -Iboot

# Format, shell, static analysis: silent when all is well, with the gcc and cppcheck of Debian 12 and of 13. The layout is that of
# one clang-format.
C_SOURCES = $(shell git ls-files 'boot/*.[ch]' 'arch/*.[ch]' 'kernel/*.[ch]' 'kernel/*.cc' 'tests/kernel/*.[ch]')
lint:
	@clang-format-19 --dry-run -Werror $(C_SOURCES)
	@shellcheck -x $$(git grep -lE '^#!/bin/sh' -- tools .ci)
	@for tool in tables quotes driverheads wdmtable; do $(TOOL) docs.$$tool || exit 1; done
	@$(MAKE) --no-print-directory BUILD=$(BUILD) OUT=$(OUT)/lint ANALYZE=1 WERROR=1 kernel demos >/dev/null
	@mkdir -p $(OUT)/lint/cppcheck
	@cppcheck $(CPPCHECK) -j $(shell nproc) --cppcheck-build-dir=$(OUT)/lint/cppcheck $(KERNEL_C)

# Of the files that differ from the last commit: the checks that take a second each.
CHANGED = $(shell git diff --name-only --diff-filter=d HEAD)
lint-changed:
	@set -- $(filter $(C_SOURCES),$(CHANGED)); [ $$# = 0 ] || clang-format-19 --dry-run -Werror "$$@"
	@for f in $(filter tools/% .ci/%,$(CHANGED)); do ! sed q "$$f" | grep -q '^#!/bin/sh' || shellcheck -x "$$f" || exit 1; done
	@for tool in tables quotes driverheads wdmtable; do $(TOOL) docs.$$tool || exit 1; done
	@set -- $(filter $(KERNEL_C),$(CHANGED)); [ $$# = 0 ] || cppcheck $(CPPCHECK) -j $(shell nproc) "$$@"

help:
	@sed -n 's/^#: //p' Makefile

#: make                 the checked kernel, its boot archive and the ISO (BUILD=free, BUILD=ubsan for the others)
#: make BUILD=step      the kernel for stepping through its C: nothing optimized away, nothing inlined, no checks
#: make run             boot the story under QEMU (SCENARIO=NAME for another); the same as tools/bugcheck run
#: make test            all tests; the same as tools/bugcheck test
#: make hosts           run and test on clean Debian 12 and 13 (HOSTS=trixie for one, TESTS=WORDS for some tests, REUSE=1); by root
#: make bench           the table of costs in instructions and seconds; build/bench.json
#: make gdb             boot stopped, with GDB attached
#: make step            a guided walk in GDB: SUBJECT=spinlock, pagefault, pagein, dpc or switch
#: make explore         every schedule of two CPUs through a lock: NAME=spin_lock; without a name: what can be explored
#: make models          every order of a model's steps: NAME=spinlock, MUTATION=NAME; without a name: the models there are
#: make soak            thousands of seeded boots: RUNS=10000, JOBS=2, RESUME=1 to go on; build/soak
#: make races           the tests inside the kernel with some accesses watched: each data race, with both stacks (TESTS=PREFIX)
#: make kd              the debugger on the last crash dump (FILE=PATH for another)
#: make rewind          back from the last seeded crash: TO=trim, allocate, acquire, raise, -N
#: make trace           the last events of the crash as trace.html and trace.json
#: make labs-proof      each lab: its solution, its starter and each wrong solution get what they should (LAB=03 for one)
#: make mutants         plant each fault of tests/mutants and see which die: FOLDER=io, NAME=..., JOBS=2, FRESH=1; goes on where it ended
#: make iso             build/checked/bugcheck.iso, for BIOS and UEFI
#: make kernel          only the kernel
#: make core            the kernel within the kernel: build/core, from exactly the files that core-list prints
#: make core-list       the sources of the kernel within the kernel, in the order in which to read them
#: make lint            format, shellcheck, gcc -fanalyzer, cppcheck
#: make docs            write the tables and quotations of the documents anew
#: make doctor          the tools that are needed, with their versions
#: make clean           remove build/

clean:
	rm -rf $(OUT)

-include $(shell find $(B) -name '*.d' 2>/dev/null)
