"""Shapes of a trace, ready to draw: threads, IRQL steps, marks, bars for locks and DPCs.

All per CPU, times in microseconds from the first event. Nothing here knows of GDB or of a file format.
"""

PAGE = 4096
SOFTWARE = (0x1F, 0x2F)                     # interrupts in which a CPU may go to another thread
MARKS = ("PageFault", "BugCheck", "Trim", "PageIn", "PoolAllocate", "PoolFree", "Wait", "Wake", "Ipi")


class Event:
    """One event of the trace, as tools/kd/model/traceevents.py wrote it down."""

    def __init__(self, cpu, row, first, hz):
        self.cpu = cpu
        self.index, self.tsc, self.kind, self.detail, self.a, self.b, self.caller, self.text = row
        self.time = round((self.tsc - first) * 1e6 / hz, 4)


class Bar:
    """Something that lasts: a lock that is held or waited for, an interrupt, a DPC."""

    def __init__(self, kind, name, start, key):
        self.kind, self.name, self.start, self.end, self.key = kind, name, start, None, key
        self.row, self.is_open = 0, True    # open: it lasted until the machine stopped


class Lane:
    """All that is drawn of one CPU."""

    def __init__(self, cpu, events):
        self.cpu, self.events = cpu, events
        self.threads, self.levels, self.bars = [], [], []


def events_of(trace):
    """{CPU: its events in the order of their times}, from the plain data of a trace."""
    first = min((row[1] for cpu in trace["cpus"] for row in cpu["events"]), default=0)
    return {cpu["cpu"]: sorted((Event(cpu["cpu"], row, first, trace["hz"]) for row in cpu["events"]),
                               key=lambda event: (event.tsc, event.index)) for cpu in trace["cpus"]}


def lanes_of(trace):
    """([Lane], the time of the last event)."""
    every = events_of(trace)
    end = max((events[-1].time for events in every.values() if events), default=0)
    lanes = []
    for cpu in trace["cpus"]:
        lane = Lane(cpu["cpu"], every[cpu["cpu"]])
        lane.threads = threads_of(lane.events, cpu["running"], end)
        lane.levels = levels_of(lane.events)
        lane.bars = bars_of(lane.events, trace["places"], end)
        lanes.append(lane)
    return lanes, end


def threads_of(events, running, end):
    """[(start, end, KTHREAD)]: which thread ran when; the last one is the one that still ran."""
    found, start = [], events[0].time if events else 0
    for event in events:
        if event.kind == "Switch":
            found.append((start, event.time, event.a))
            start = event.time
    return found + [(start, end, running)] if events else []


def level_before(event):
    """The IRQL before an event that changes it or tells it."""
    return {"Raise": event.detail & 0xFF, "Lower": event.detail & 0xFF, "Interrupt": event.detail,
            "InterruptEnd": event.a >> 4}[event.kind]


def level_after(event):
    return {"Raise": event.detail >> 8, "Lower": event.detail >> 8, "Interrupt": event.a >> 4,
            "InterruptEnd": event.detail}[event.kind]


def levels_of(events):
    """[(time, IRQL from then on)]; before the first change it is what that change found."""
    steps = []
    for event in events:
        if event.kind in ("Raise", "Lower", "Interrupt", "InterruptEnd"):
            if not steps:
                steps.append((events[0].time, level_before(event)))
            if steps[-1][1] != level_after(event):
                steps.append((event.time, level_after(event)))
    return steps


def last_open(bars, kind, key):
    """The latest bar of a kind that has not ended, or None."""
    return next((bar for bar in reversed(bars) if bar.is_open and bar.kind == kind and bar.key == key), None)


def close(bar, time):
    if bar is not None:
        bar.end, bar.is_open = time, False


def bars_of(events, places, end):
    """The bars of a CPU, each with a row: bars in one row never overlap. An end without a beginning is no bar."""
    bars = []
    for event in events:
        name = places.get(str(event.a)) or f"{event.a:#x}"
        if event.kind == "Contend":
            bars.append(Bar("wait", f"waits for {name}", event.time, event.a))
        elif event.kind == "Acquire":
            close(last_open(bars, "wait", event.a), event.time)
            bars.append(Bar("lock", name, event.time, event.a))
        elif event.kind == "Release":
            close(last_open(bars, "lock", event.a), event.time)
        elif event.kind == "Interrupt":
            bars.append(Bar("interrupt", f"interrupt 0x{event.a:02X}", event.time, event.a))
        elif event.kind == "InterruptEnd":
            close(last_open(bars, "interrupt", event.a), event.time)
        elif event.kind == "Dpc":
            bars.append(Bar("dpc", f"DPC {places.get(str(event.b)) or hex(event.b)}", event.time, event.a))
        elif event.kind == "DpcEnd":
            close(last_open(bars, "dpc", event.a), event.time)
        elif event.kind == "Switch":
            for vector in SOFTWARE:         # what is left of such an interrupt runs when its thread does
                close(last_open(bars, "interrupt", vector), event.time)
    for bar in bars:
        bar.end = end if bar.is_open else bar.end
    give_rows(bars)
    return bars


def give_rows(bars):
    """Interrupts and DPCs have rows of their own, locks others; each bar takes the first row that is free."""
    for kinds in (("lock", "wait"), ("interrupt", "dpc")):
        ends = []
        for bar in sorted((bar for bar in bars if bar.kind in kinds), key=lambda bar: (bar.start, -bar.end)):
            bar.row = next((row for row, free_at in enumerate(ends) if free_at <= bar.start), len(ends))
            ends[bar.row:bar.row + 1] = [bar.end]


def contains(event, address):
    """Whether a pool event's block holds an address."""
    return event.a <= address < event.a + max(event.b & 0xFFFFFFFF, 1)


def milestones(trace):
    """The events that led to a fatal page fault, oldest first: the page's and the block's, IRQL, locks, fault, end."""
    bug = trace["bugcheck"]
    every = sorted((event for events in events_of(trace).values() for event in events), key=lambda e: (e.tsc, e.index))
    if bug is None or not every:
        return []
    guilty = [event for event in every if event.cpu == bug["cpu"]]
    end = next((event for event in reversed(guilty) if event.kind == "BugCheck"), guilty[-1] if guilty else every[-1])
    fault = next((event for event in reversed(guilty) if event.kind == "PageFault"), None)
    chosen = {end}
    if fault is not None and fault.a == bug["parameters"][0]:
        chosen |= {fault} | set(history_of_page(every, fault.a))
    held = {}
    for event in guilty:
        if event.kind == "Acquire":
            held[event.a] = event
        elif event.kind == "Release":
            held.pop(event.a, None)
    chosen |= {event for event in held.values() if event.tsc <= end.tsc}
    raises = [event for event in guilty
              if event.kind == "Raise" and event.detail >> 8 == bug["irql"] and event.tsc <= end.tsc]
    return sorted(chosen | set(raises[-1:]), key=lambda event: (event.tsc, event.index))


def history_of_page(every, address):
    """The last allocation of the block at an address and, since then, what became of its page."""
    page, found = address & -PAGE, []
    for event in every:
        if event.kind in ("PoolAllocate", "PoolFree") and contains(event, address):
            found = [event] if event.kind == "PoolAllocate" else found + [event]
        elif event.kind in ("Trim", "PageIn") and event.a & -PAGE == page:
            found.append(event)
    return found
