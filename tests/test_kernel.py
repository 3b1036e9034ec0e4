"""The tests inside the kernel, on free-running machines and under seeded schedules; and what must stop the machine.

The same tests run again for each seed, because a race shows only in some orders. A seed repeats its order to the byte:
that is tested too, for otherwise a failing seed would be worth nothing.
"""

import re

import pytest

from host.paths import TOP

BUILDS = ("checked", "free")
SEEDS = range(1, 17)                            # the same in every run; some more are drawn anew each time (tests/seeds.py)
SEEDS_OF_ALL = (1, 2)                           # on two CPUs and on four
SYNCH_LEVEL = 12
TAG = int.from_bytes(b"Test", "little")
PROTECTED = 0x80000000


@pytest.mark.parametrize("cpus", (1, 2, 4))
@pytest.mark.parametrize("build", BUILDS)
def test_inside_free_running(boot, build, cpus):
    boot(test="all", build=build, cpus=cpus, limit=900).assert_ktap()


@pytest.mark.parametrize("seed,cpus", [(seed, 2 if seed % 2 else 4) for seed in SEEDS])
def test_inside_under_seed(boot, seed, cpus):
    """All of them under two seeds; those that a schedule can change under the others too, in less memory, which overcommits sooner."""
    more = dict(test="all") if seed in SEEDS_OF_ALL else dict(test="concurrent", mem=64)
    boot(seed=seed, cpus=cpus, limit=900, **more).assert_ktap()


def pytest_generate_tests(metafunc):
    if "drawn" in metafunc.fixturenames:
        drawn = [(seed, 2 if number % 2 else 4) for number, seed in enumerate(metafunc.config.drawn_seeds, 1)]
        metafunc.parametrize("drawn,cpus", drawn, ids=[f"{number}-{cpus}" for number, (_, cpus) in enumerate(drawn, 1)])


def test_inside_under_seed_drawn_anew(boot, drawn, cpus):
    """Schedules that no run has had before; one that fails is repeated by the command that the failure shows."""
    boot(test="concurrent", seed=drawn, cpus=cpus, mem=64, limit=900).assert_ktap()


def test_a_test_that_is_alone_has_no_company():
    """A test under two seeds only starts no thread, waits for no disk or CPU, queues nothing."""
    company = re.compile(r"KtCreateThread|KtRunOnAllCpus|Ps\w*Create\w*Thread|Ipi|Queue(?!d)|KeSetTimer|KT_NEEDS_PROCESSORS"
                         r"|DiskHold|PageStress")
    bodies = {}
    for path in sorted((TOP / "tests/kernel").glob("*.c")):
        bodies |= dict(re.findall(r"^KTEST_ALONE\((\w+)\) \{\n(.*?)^\}", path.read_text(), re.M | re.S))
    assert bodies
    assert {name for name, body in bodies.items() if company.search(body)} == set()


# Groups that keep the CPUs busy for less than QEMU's 100 ms of guest time without a pause: after that its round robin of the
# CPUs is kicked by a timer, which the host's load may move by a slice.
@pytest.mark.parametrize("group", ("spinlock", "dpc", "pool", "paging"))
def test_a_seed_repeats_to_the_byte(boot, group):
    first, second = (boot(test=group, seed=3, limit=240).assert_ktap() for _ in range(2))
    assert first.channel == second.channel
    assert first.serial == second.serial


def schedule(outcome):
    return re.search(r"# schedule ([0-9a-f]{16})", outcome.assert_ktap().channel)[1]


def test_seeds_differ_in_their_schedules(boot):
    assert len({schedule(boot(test="schedule", seed=seed)) for seed in range(1, 6)}) == 5


def test_the_list_of_tests_has_no_name_twice(boot):
    names = re.findall(r"^# test (\w+)$", boot(test="list").channel, re.MULTILINE)
    assert len(names) > 40
    assert len(names) == len(set(names))


def test_a_name_that_no_test_has_is_a_failure(boot):
    assert "an empty plan" in boot(test="nosuchtest").ktap.explain()


# Reasons to stop the machine: the code and those parameters that are no addresses.
CRASHES = {
    "crash_pool_small_block_freed_twice": (0xC2, {"p1": 7}),
    "crash_pool_large_block_freed_twice": (0x19, {"p1": 0x22, "p3": 1, "p4": 0}),
    "crash_pool_block_overrun": (0x19, {"p1": 0x20}),
    "crash_pool_free_list_overwritten": (0x19, {"p1": 3}),
    "crash_pool_protected_tag_freed_with_another": (0xC2, {"p1": 0xA, "p3": TAG | PROTECTED, "p4": TAG}),
    "crash_pool_paged_allocation_at_DISPATCH_LEVEL": (0xC2, {"p1": 8, "p2": 2, "p3": 1, "p4": 64}),
    "crash_pool_nonpaged_allocation_above_DISPATCH_LEVEL": (0xC2, {"p1": 8, "p2": SYNCH_LEVEL, "p3": 512, "p4": 64}),
    "crash_pool_paged_free_at_DISPATCH_LEVEL": (0xC2, {"p1": 9, "p2": 2, "p3": 1}),
    "crash_pool_allocation_without_tag": (0xC2, {"p1": 0x9B, "p2": 512, "p3": 64}),
    "crash_pool_tag_BIG": (0xC2, {"p1": 0x9C, "p2": 512, "p3": 64}),
    "crash_pool_tag_without_letter_or_digit": (0xC2, {"p1": 0x9D, "p2": 0x2B2D2D2B, "p3": 512}),
    "crash_pool_must_succeed": (0xC2, {"p1": 0x9A, "p2": 2, "p3": 64, "p4": TAG}),
    "crash_pool_NULL_freed": (0xC2, {"p1": 0x46, "p2": 0}),
    "crash_pool_user_address_freed": (0xC2, {"p1": 0x40, "p2": 0x10000}),
    "crash_pool_stack_address_freed": (0xC2, {"p1": 0x42}),
    "crash_machine_exception_1F_is_no_APC_interrupt": (0x7F, {"p1": 0x1F}),
    "crash_machine_interrupt_routine_returns_at_another_level": (0xC8, {"p1": 0x80903, "p3": 0, "p4": 0}),
    "crash_dpc_returns_at_another_level": (0xC8, {}),
    "crash_memory_write_to_read_only_page": (0xBE, {"p3": 0, "p4": 0}),
    "crash_memory_write_to_kernel_text_through_the_direct_map": (0xBE, {"p3": 0, "p4": 0}),
    "crash_memory_execution_of_a_data_page": (0xFC, {"p3": 0, "p4": 0}),
    "crash_memory_freed_pool_page": (0x50, {"p2": 2, "p4": 0}),
    "crash_memory_address_without_page_table": (0x50, {"p1": 0xFFFFF8E000000000, "p2": 0, "p4": 2}),
    "crash_memory_transition_page_at_DISPATCH_LEVEL": (0xD1, {"p2": 2, "p3": 1}),
    "crash_memory_contiguous_freed_twice": (0x19, {"p1": 0x22, "p3": 4, "p4": 0}),
    "crash_paging_page_that_cannot_be_read": (0x7A, {"p2": 0xFFFFFFFFC0000185}),
    "crash_semaphore_above_its_limit": (0x7E, {"p1": 0xFFFFFFFFC0000047}),
    "crash_mutex_released_by_a_stranger": (0x7E, {"p1": 0xFFFFFFFFC0000046}),
    "crash_wait_for_four_objects_without_blocks": (0xC, {"p1": 0, "p2": 0, "p3": 0, "p4": 0}),
    "crash_wait_at_DISPATCH": (0xC4, {"p1": 0x3B, "p2": 2, "p4": 0}),
    "crash_wait_in_a_dpc": (0xB8, {"p4": 0}),
    "crash_fastmutex_at_DISPATCH": (0x192, {"p3": 2, "p4": 0}),
    "crash_fastmutex_released_without_being_owned": (0x162, {"p3": 0xFFFFFFFF, "p4": 0}),
    "crash_guardedmutex_released_without_being_owned": (0x162, {"p3": 0xFFFFFFFF, "p4": 0}),
    "crash_pushlock_released_without_being_owned": (0x162, {"p3": 0xFFFFFFFF, "p4": 0}),
    "crash_guardedmutex_at_DISPATCH": (0x192, {"p3": 2, "p4": 0}),
    "crash_pushlock_at_DISPATCH": (0x192, {"p3": 2, "p4": 0}),
    "crash_pushlock_with_unknown_flags": (0x152, {"p1": 4, "p3": 0, "p4": 0}),
    "crash_thread_ends_with_a_push_lock": (0x153, {"p3": 1}),
    "crash_thread_ends_with_a_fast_mutex": (0x153, {"p3": 1}),
    "crash_resource_released_by_a_stranger": (0xE3, {"p3": 0}),
    "crash_resource_released_without_being_owned": (0xE3, {"p3": 0, "p4": 2}),
    "crash_resource_released_for_a_thread_that_does_not_own_it": (0x16E, {"p4": 0}),
    "crash_resource_owner_pointer_that_is_none": (0x132, {"p2": 0}),
    "crash_resource_owner_ends_while_another_waits": (0x13C, {"p2": 1, "p3": 1, "p4": 0}),
    "crash_thread_ends_with_a_mutex": (0x20, {"p1": 0, "p2": 0xFFFF, "p3": 0, "p4": 1}),
    "crash_thread_ends_with_a_mutex_and_balanced_counts": (0x4000008A, {}),
    "crash_thread_ends_at_APC_LEVEL": (0x20, {"p1": 0, "p2": 0, "p3": 1, "p4": 1}),
    "crash_thread_loses_the_reference_to_itself": (0x18, {"p3": 0, "p4": 0}),
    "crash_workitem_returns_with_a_mutex": (0x39, {"p2": 0x1234, "p4": 0}),
    "crash_workitem_returns_at_DISPATCH": (0xE1, {"p2": 2, "p3": 0x1234}),
    "crash_workitem_returns_in_a_critical_region": (0x1, {"p2": 0, "p3": 0xFFFF, "p4": 1}),
    "crash_workitem_ends_its_thread": (0xE9, {"p2": 0, "p3": 0, "p4": 0}),
    "crash_workitem_queued_twice": (0xE4, {"p1": 1}),
    "crash_work_without_a_routine": (0xE4, {"p1": 7, "p3": 0, "p4": 0}),
    "crash_work_for_a_queue_that_is_not_there": (0xE4, {"p1": 6, "p3": 7, "p4": 0}),
    "crash_work_of_a_device_freed_in_the_queue": (0xE4, {"p1": 2, "p4": 0}),
    "crash_thread_ends_in_a_critical_region": (0x20, {"p1": 0, "p2": 0xFFFF, "p3": 0, "p4": 1}),
    "crash_thread_ends_in_a_guarded_region": (0x20, {"p1": 0, "p2": 0xFFFF0000, "p3": 0, "p4": 1}),
    "crash_thread_ends_after_leaving_a_region_twice": (0x20, {"p1": 0, "p2": 1, "p3": 0, "p4": 1}),
    "crash_thread_ends_at_DISPATCH": (0x20, {"p1": 0, "p2": 0, "p3": 2, "p4": 1}),
    "crash_thread_ends_attached": (0x5, {"p3": 1, "p4": 0}),
    "crash_apc_is_pending_when_its_thread_ends": (0x20, {"p2": 0, "p3": 0, "p4": 0}),
    "crash_apc_kernel_routine_returns_at_another_level": (0xC8, {"p1": 0x20100, "p4": 0}),
    "crash_apc_normal_routine_returns_at_another_level": (0xC8, {"p1": 0x10001}),
    "crash_interrupt_service_routine_returns_at_another_level": (0xC8, {"p1": 0x30603, "p4": 0}),
    "crash_dpc_returns_in_a_critical_region": (0xC7, {"p1": 4, "p3": 0, "p4": 0xFFFF}),
    "crash_dpc_of_a_timer_returns_in_a_critical_region": (0xC7, {"p1": 5, "p3": 0, "p4": 0xFFFF}),
    "crash_dpc_takes_a_mutex_along": (0xC7, {"p1": 4, "p3": 0, "p4": 0xFFFF}),
    "crash_dpc_without_a_routine_is_queued": (0xC7, {"p1": 2, "p3": 0, "p4": 0}),
    "crash_dpc_is_queued_to_a_cpu_that_is_not_there": (0xC7, {"p1": 3, "p3": 40, "p4": 2}),
}
CRASHES |= {
    "crash_handle_outlived_by_a_lost_reference": (0x18, {"p3": 0, "p4": 0}),
    "crash_mdl_too_small_for_the_part_of_another": (0x49, {}),
    "crash_mdl_locked_page_is_freed": (0x4E, {"p1": 0x9A, "p4": 1}),
    "crash_mdl_unlocked_twice": (0x1A, {"p1": 0x1236}),
    "crash_mdl_touched_at_DISPATCH_after_unlock": (0xD1, {"p2": 2, "p3": 1}),
    "crash_irp_completed_twice_before_its_requester_looks": (0x44, {"p2": 0, "p3": 0, "p4": 0}),
    "crash_irp_cancel_routine_keeps_the_lock": (0x11B, {"p3": 0, "p4": 0}),
}
CHECKED_CRASHES = {
    "crash_wait_for_many_at_DISPATCH": (0xC4, {"p1": 0x3B, "p2": 2, "p4": 0}),
    "crash_spinlock_taken_twice_by_one_cpu": (0xF, {}),
    "crash_spinlock_released_without_being_held": (0x10, {}),
}


@pytest.mark.parametrize("name", CRASHES)
@pytest.mark.parametrize("build", BUILDS)
def test_stops_the_machine(boot, build, name):
    code, parameters = CRASHES[name]
    boot(test=name, build=build, cpus=2).assert_bugcheck(code, expected=False, **parameters)


@pytest.mark.parametrize("name", CHECKED_CRASHES)
def test_stops_the_checked_build(boot, name):
    code, parameters = CHECKED_CRASHES[name]
    boot(test=name, cpus=2).assert_bugcheck(code, expected=False, **parameters)


# With watchdog=1 every limit is 64 ticks; without, NT's: 20 s for a routine, 120 s for the period.
WATCHDOGS = {
    "crash_dpc_that_never_ends": (0x133, {"p1": 0, "p2": 65, "p3": 64, "p4": 0}),
    "crash_interrupt_service_routine_that_never_ends": (0x133, {"p1": 0, "p2": 65, "p3": 64, "p4": 0}),
    "crash_dpc_that_queues_itself_for_ever": (0x133, {"p1": 1, "p2": 64, "p3": 0, "p4": 0}),
    "crash_thread_that_spins_at_DISPATCH": (0x133, {"p1": 1, "p2": 64, "p3": 0, "p4": 0}),
    "crash_thread_that_comes_below_DISPATCH_now_and_then": (0xE2, {"p1": 1, "p2": 2, "p3": 3, "p4": 4}),
    "crash_thread_that_spins_without_clock_interrupts": (0x101, {"p1": 64, "p2": 0, "p4": 1}),
}


@pytest.mark.parametrize("name", WATCHDOGS)
def test_the_watchdog_finds(boot, name):
    code, parameters = WATCHDOGS[name]
    boot(test=name, append="watchdog=1", cpus=2).assert_bugcheck(code, expected=False, **parameters)


def test_bugcheck_callbacks_run_after_the_report(boot):
    outcome = boot(test="crash_bugcheck_with_callbacks", build="free", cpus=2)
    outcome.assert_bugcheck(0xE2, p1=1, expected=False)
    lines = [line.strip() for line in outcome.serial.splitlines() if "bugcheck callback" in line or "callback:" in line
             or "bugcheck data" in line]
    assert lines == ["*** bugcheck callback of first", "callback: 4660 at IRQL 15", "*** bugcheck data of third: 16 bytes"]


def test_a_hung_test_is_reported_with_stacks(boot):
    outcome = boot(test="crash_test_that_never_ends", append="limit=1", cpus=2)
    assert "ktest!" in outcome.channel
    assert "Bail out!" in outcome.channel
    assert outcome.verdict["end"] == "tests" and outcome.verdict["expected"] is False
