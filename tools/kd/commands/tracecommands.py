"""!trace: what the CPUs did last, from the event trace of the kernel."""

import json

from kd.model.traceevents import collect, read_events, words
from kd.target.command import KdError, command
from kd.target.expression import evaluate
from kd.target.processors import current_number, processors

USUAL = 32                                  # events that !trace shows unless told


def chosen_processors(text):
    """Those CPUs that the word of the user means."""
    every = processors()
    if text is None or text == "*":
        return every
    number = current_number() if text == "." else evaluate(text)
    found = [processor for processor in every if processor.number == number]
    if not found:
        raise KdError(f"there is no CPU {number}: this machine has {len(every)}")
    return found


@command("!trace", "[CPU|.|*] [COUNT]", "the last events of the trace: switches, interrupts, faults, locks")
def trace(arguments):
    """The last COUNT events (0n32) of one CPU, of the selected one (.) or of all, oldest first, in the order of their times.

    Each line: the ticks of the time-stamp counter before the latest event, the CPU, the number of the event on its CPU
    (which tools/bugcheck rewind takes), and what happened. The free build records no changes of IRQL and no locks.
    """
    if len(arguments) > 2:
        raise KdError("at most a CPU and a count are taken")
    chosen = chosen_processors(arguments[0] if arguments else None)
    count = evaluate(arguments[1]) if len(arguments) == 2 else USUAL
    if count < 1:
        raise KdError("the count must be 1 or more")
    events = sorted((event for processor in chosen for event in read_events(processor)[0]),
                    key=lambda event: (event.tsc, event.processor, event.index))
    if not events:
        raise KdError("no event is there: the ring is empty, or the dump does not hold it")
    latest = events[-1].tsc
    print(f"{'Ticks ago':>14}  CPU  {'Event':>8}  What")
    for event in events[-count:]:
        print(f"{latest - event.tsc:14,}  {event.processor:3}  {event.index:8}  {words(event)}")


@command(".tracejson", "FILE", "writes the whole event trace as plain data, for tools/bugcheck trace")
def trace_json(arguments):
    """The input of tools/cli/trace.py: every ring, with texts, thread names and the bugcheck."""
    if len(arguments) != 1:
        raise KdError("one file name is needed")
    try:
        with open(arguments[0], "w", encoding="utf-8") as file:
            json.dump(collect(), file)
    except OSError as problem:
        raise KdError(f"{arguments[0]}: {problem.strerror}") from None
