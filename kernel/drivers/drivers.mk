# The drivers of the boot archive: DRIVERS names them, SOURCES_<name> lists their files, one line each.
DRIVERS :=

# The disks.
DRIVERS += virtio-blk ivshmem
SOURCES_virtio-blk := kernel/drivers/block/virtio-blk.c
SOURCES_virtio-blk += kernel/drivers/block/virtio-pci.c
SOURCES_ivshmem    := kernel/drivers/block/ivshmem.c

# The file system: the core, and the driver around it. It needs more of the kernel than the kernel within the kernel has.
DRIVERS += fastfat
RING_DRIVERS := fastfat
SOURCES_fastfat := kernel/drivers/fastfat/driver.c
SOURCES_fastfat += kernel/drivers/fastfat/create.c
SOURCES_fastfat += kernel/drivers/fastfat/data.c
SOURCES_fastfat += kernel/drivers/fastfat/cache.c
SOURCES_fastfat += kernel/drivers/fastfat/lazy.c
SOURCES_fastfat += kernel/drivers/fastfat/query.c
SOURCES_fastfat += kernel/drivers/fastfat/set.c
SOURCES_fastfat += kernel/drivers/fastfat/list.c
SOURCES_fastfat += kernel/drivers/fastfat/fcb.c
SOURCES_fastfat += kernel/drivers/fastfat/volume.c
SOURCES_fastfat += kernel/drivers/fastfat/table.c
SOURCES_fastfat += kernel/drivers/fastfat/scan.c
SOURCES_fastfat += kernel/drivers/fastfat/directory.c
SOURCES_fastfat += kernel/drivers/fastfat/index.c
SOURCES_fastfat += kernel/drivers/fastfat/name.c
SOURCES_fastfat += kernel/drivers/fastfat/file.c
SOURCES_fastfat += kernel/drivers/fastfat/tree.c
SOURCES_fastfat += kernel/drivers/fastfat/time.c

# The demo drivers: the file that varies, and the WDM plumbing that they share.
DEMO := secret nonpaged mutex passive apc pagecode waitdpc doublefree stackover cplusplus
DRIVERS += $(DEMO)
SOURCES_secret     := kernel/drivers/demo/secret.c kernel/drivers/demo/device.c
SOURCES_nonpaged   := kernel/drivers/demo/nonpaged.c kernel/drivers/demo/device.c
SOURCES_mutex      := kernel/drivers/demo/mutex.c kernel/drivers/demo/device.c
SOURCES_passive    := kernel/drivers/demo/passive.c kernel/drivers/demo/device.c
SOURCES_apc        := kernel/drivers/demo/apc.c kernel/drivers/demo/device.c
SOURCES_pagecode   := kernel/drivers/demo/pagecode.c kernel/drivers/demo/device.c
SOURCES_waitdpc    := kernel/drivers/demo/waitdpc.c kernel/drivers/demo/device.c
SOURCES_doublefree := kernel/drivers/demo/doublefree.c kernel/drivers/demo/device.c
SOURCES_stackover  := kernel/drivers/demo/stackover.c kernel/drivers/demo/device.c
SOURCES_cplusplus  := kernel/drivers/demo/cplusplus.cc kernel/drivers/demo/device.c

# Test modules that reach into the kernel itself; the same SOURCES_<name>, built with the kernel's headers.
INTERNAL_DRIVERS := ktest
SOURCES_ktest := tests/kernel/ktest.c tests/kernel/kthelp.c
SOURCES_ktest += tests/kernel/test_irql.c
SOURCES_ktest += tests/kernel/test_trace.c
SOURCES_ktest += tests/kernel/test_spinlock.c
SOURCES_ktest += tests/kernel/test_exclusion.c
SOURCES_ktest += tests/kernel/test_protections.c
SOURCES_ktest += tests/kernel/test_clock.c
SOURCES_ktest += tests/kernel/test_dpc.c
SOURCES_ktest += tests/kernel/test_ipi.c
SOURCES_ktest += tests/kernel/test_machine.c
SOURCES_ktest += tests/kernel/test_objects.c
SOURCES_ktest += tests/kernel/test_wait.c
SOURCES_ktest += tests/kernel/test_threads.c
SOURCES_ktest += tests/kernel/crash_threads.c
SOURCES_ktest += tests/kernel/test_sleeplocks.c
SOURCES_ktest += tests/kernel/test_resource.c
SOURCES_ktest += tests/kernel/test_pushlock.c
SOURCES_ktest += tests/kernel/test_rwlock.c
SOURCES_ktest += tests/kernel/test_lists.c
SOURCES_ktest += tests/kernel/test_apc.c
SOURCES_ktest += tests/kernel/test_work.c
SOURCES_ktest += tests/kernel/test_pool.c
SOURCES_ktest += tests/kernel/test_verifier.c
SOURCES_ktest += tests/kernel/pagehelp.c
SOURCES_ktest += tests/kernel/test_paging.c
SOURCES_ktest += tests/kernel/test_trim.c
SOURCES_ktest += tests/kernel/test_faults.c
SOURCES_ktest += tests/kernel/test_frames.c
SOURCES_ktest += tests/kernel/test_overcommit.c
SOURCES_ktest += tests/kernel/test_memory.c
SOURCES_ktest += tests/kernel/crash_bugcheck.c
SOURCES_ktest += tests/kernel/crash_pool.c
SOURCES_ktest += tests/kernel/crash_checked.c
SOURCES_ktest += tests/kernel/crash_dump.c
SOURCES_ktest += tests/kernel/test_describe.c
SOURCES_ktest += tests/kernel/test_schedule.c
SOURCES_ktest += tests/kernel/test_block.c
SOURCES_ktest += tests/kernel/test_irp.c
SOURCES_ktest += tests/kernel/test_device.c
SOURCES_ktest += tests/kernel/test_names.c
SOURCES_ktest += tests/kernel/test_mdl.c
SOURCES_ktest += tests/kernel/test_ioctl.c
SOURCES_ktest += tests/kernel/test_loader.c
SOURCES_ktest += tests/kernel/test_fastfat.c
SOURCES_ktest += tests/kernel/bench_files.c
SOURCES_ktest += tests/kernel/test_callbacks.c
SOURCES_ktest += tests/kernel/bench.c
SOURCES_ktest += tests/kernel/bench_locks.c
SOURCES_ktest += tests/kernel/bench_threads.c
SOURCES_ktest += tests/kernel/bench_memory.c
SOURCES_ktest += tests/kernel/bench_trace.c
