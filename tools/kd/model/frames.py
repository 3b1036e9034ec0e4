"""The page-frame database: 48 bytes for each frame of RAM, and the names of its states."""

from kd.model.records import records
from kd.model.regions import region
from kd.target.memory import address_of, size_of, value_of

MOST_RUNS = 64

LOCATIONS = {0: "Zeroed", 1: "Free", 2: "Standby", 3: "Modified", 4: "ModifiedNoWrite", 5: "Bad", 6: "Active",
             7: "Transition"}


def ram_runs():
    """The runs of frames, [first, end), that the page-frame database covers."""
    count = value_of("MiRamRuns")
    return list(records("MI_RAM_RUN", address_of("MiRam"), min(count, MOST_RUNS), "First", "End"))


def pfn_address(number):
    return region("RegionPfnDatabase").start + number * size_of("MMPFN")


def is_ram(number):
    return any(first <= number < end for first, end in ram_runs())
