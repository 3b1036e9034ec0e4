"""Which tests run, and in which order: the long ones first; with --quick a sample that fits into a minute.

What a test cost, in CPU seconds of all its processes, is remembered for the next run (tools/cli/testtimes.py).
"""
import re
import resource

import pytest
from cli.testtimes import expected, recalled, remember

try:
    from xdist.scheduler import LoadScheduling
except ImportError:                             # one process then
    LoadScheduling = object

LONG = 4                                        # CPU seconds; what is shorter keeps its place beside its neighbours
SHARE = 2.5                                     # CPU seconds of each file in the sample
FEW, MANY = 2, 8                                # tests that a worker gets at a time: long ones, short ones
FIRST = 6                                       # and what its first test may cost, where that is more
COST = "cpu seconds"
# In the sample at any cost: the story; the tests inside the kernel under one schedule; lint of what was changed.
ALWAYS = ("test_scenarios.py::test_ends_as_it_should[checked-story]", "test_kernel.py::test_inside_under_seed[7-2]",
          "test_docs.py::test_lint_of_changed_files", "test_ktap.py::")
# Never in it: they take minutes, or are another's long form.
NEVER = ("test_docs.py::test_lint", "test_fuzz.py::", "test_kernel.py::test_inside_free_running")


def pytest_addoption(parser):
    parser.addoption("--quick", action="store_true",
                     help="a sample that takes a minute: the story, the kernel's own tests under one schedule, a driver of "
                          "each family, the first tests of every file, lint of what was changed")


    parser.addoption("--seeds", help="the seeds that this run should draw, with commas between: those of the header of another")
    parser.addoption("--all", action="store_true",
                     help="the spare tests too: drivers in which nothing can happen at once, with real threads; the build that "
                          "watches for data races; every single preemption of the whole kernel")


def cpu_seconds():
    """Of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    item.started_at = cpu_seconds()
    yield


def add_cost(report, item):
    """Called with each report: that of the teardown carries what the test cost, to xdist's launcher too."""
    if report.when == "teardown":
        report.user_properties = [(COST, cpu_seconds() - item.started_at)]


class Clerk:
    """Collects what the tests cost, in the process that the user started."""

    def __init__(self, config):
        self.config, self.spent = config, {}

    def pytest_runtest_logreport(self, report):
        if report.when == "teardown" and report.passed:
            self.spent.update((report.nodeid, value) for name, value in report.user_properties if name == COST)

    def pytest_sessionfinish(self):
        if self.spent:
            remember(self.spent)

    def pytest_terminal_summary(self, terminalreporter):
        if self.spent:
            terminalreporter.write_line(f"CPU seconds of the tests: {sum(self.spent.values()):.0f}")


def short(name):
    return name.rpartition("tests/")[2]


def family(item):
    """Tests of one family differ in their case only: a function's, or the drivers whose names begin alike."""
    found = re.match(r"test_drivers.py::test_driver\[([a-z]+)_.*-seeds\]", short(item.nodeid))
    return found[1] if found else item.nodeid.partition("[")[0]


def sample(items, cost):
    """One of each family, as many as the file's share has room for; a driver of each family."""
    chosen, left, seen = [], {}, set()
    for item in items:
        name, group = short(item.nodeid), family(item)
        is_driver = name.startswith("test_drivers.py::test_driver[")
        if not name.startswith(ALWAYS):
            if group in seen or name.startswith(NEVER) or is_driver and group.startswith("tests/"):
                continue
            seen.add(group)
            room = left.setdefault(item.path, max(SHARE, min(cost[item.nodeid], FIRST)))
            if cost[item.nodeid] > room and not is_driver:
                continue
            left[item.path] -= 0 if is_driver else cost[item.nodeid]
        chosen.append(item)
    return chosen


class InOrder(LoadScheduling):
    """xdist's scheduler, but no worker gets a quarter of all tests at once: the long ones are dealt out two by two, and at
    the end no worker has much left. Neighbours stay together mostly: what a worker has built for one serves the next."""

    def _send_tests(self, node, num):
        known = self.config.known_costs
        is_long = bool(self.pending) and expected(self.collection[self.pending[0]], known) >= LONG
        super()._send_tests(node, min(num, FEW if is_long else MANY))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return InOrder(config, log) if config.getoption("dist") == "load" else None


def recall(config):
    """The figures measured before: read once, in the process that the user started, so that all workers sort alike."""
    config.addinivalue_line("markers", "spare: runs only with --all")
    if hasattr(config, "workerinput"):
        config.known_costs = config.workerinput["costs"]
    else:
        config.known_costs = recalled()
        config.pluginmanager.register(Clerk(config))


def pytest_collection_modifyitems(config, items):
    """Long ones first, the longest at the head; the others where they were."""
    cost = {item.nodeid: expected(item.nodeid, config.known_costs) for item in items}
    items.sort(key=lambda item: -cost[item.nodeid] if cost[item.nodeid] >= LONG else 0)
    chosen = items if config.option.all else [item for item in items if not item.get_closest_marker("spare")]
    if config.option.quick:
        chosen = sample(chosen, cost)
    names = {item.nodeid for item in chosen}
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in names])
    items[:] = chosen
