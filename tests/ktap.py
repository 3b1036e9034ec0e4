"""Reads the report of the tests inside the kernel (KTAP version 1), and believes it only if it is whole.

A kernel that dies half-way prints only passes up to then. So silence counts as failure: the version line, the plan
and every number of the plan have to be there, and after them the verdict line that says the tests came to their end.
"""

import json
import re
from dataclasses import dataclass, field

VERSION = "KTAP version 1"
PLAN = re.compile(r"1\.\.(\d+)\s*(?:#.*)?$")
RESULT = re.compile(r"(ok|not ok) (\d+)(?: (?:- )?([^#]*?))?\s*(?:# ?(\w+)\s*(.*))?$")
TOTALS = re.compile(r"# Totals: (.*)$")


@dataclass
class Result:
    """One test: did it pass, its number and name, "SKIP" or "TODO" or "", and what it said."""
    ok: bool
    number: int
    name: str
    directive: str = ""
    diagnostics: list = field(default_factory=list)

    def __iter__(self):
        return iter((self.ok, self.number, self.name, self.directive, self.diagnostics))

    @property
    def failed(self):
        return not self.ok and self.directive not in ("SKIP", "TODO")


@dataclass
class Report:
    """The results in order, the subtests as "group/name", and all that makes the report less than whole."""
    results: list
    problems: list
    verdict: dict | None

    @property
    def failures(self):
        return [result for result in self.results if result.failed]

    def names(self):
        return [result.name for result in self.results]

    def explain(self):
        """All that is wrong, one thing a line; empty if nothing is."""
        lines = list(self.problems)
        for result in self.failures:
            lines.append(f"not ok {result.number} {result.name}")
            lines += [f"    {text}" for text in result.diagnostics]
        return "\n".join(lines)


def parse(channel):
    """The Report in the text of COM2."""
    problems, verdict, lines = [], None, []
    for line in channel.splitlines():
        if line.startswith("{"):
            verdict = verdict_in(line, problems) or verdict
        elif verdict and line.strip():
            problems.append(f"text after the verdict: {line}")
        elif line.strip():
            lines.append(line)
    if VERSION not in lines:
        problems.append(f"no '{VERSION}' line: the tests did not start")
    else:
        del lines[:lines.index(VERSION)]        # a firmware may have spoken before
    results = parse_block(lines, 0, problems, "")[0] if lines else []
    if verdict is None:
        problems.append("no verdict: the machine stopped before the tests came to their end")
    elif verdict.get("end") != "tests":
        problems.append(f"the machine ended with {verdict.get('end')} {verdict.get('code', '')} "
                        f"{verdict.get('name', '')} in the middle of the tests".replace("  ", " "))
    return Report(results, problems, verdict)


def verdict_in(line, problems):
    try:
        value = json.loads(line)
    except ValueError:
        problems.append(f"a line of JSON that is none: {line}")
        return None
    return value if "end" in value else None


def parse_block(lines, start, problems, group):
    """The results of the block whose version line is lines[start], and the index behind it."""
    indent = len(lines[start]) - len(lines[start].lstrip())
    where = group or "the whole"
    plan, results, inner, diagnostics = None, [], [], []
    own = 0
    index = start + 1
    while index < len(lines):
        depth = len(lines[index]) - len(lines[index].lstrip())
        text = lines[index].strip()
        if depth > indent and text == VERSION:
            inner, index = parse_block(lines, index, problems, f"a group in {where}")
            continue
        if depth < indent:
            break
        index += 1
        if PLAN.match(text):
            if plan is not None:
                problems.append(f"a second plan in {where}: {text}")
            plan = int(PLAN.match(text)[1])
        elif RESULT.match(text):
            ok, number, name, directive, reason = RESULT.match(text).groups()
            own += 1
            if int(number) != own:
                problems.append(f"result {number} where {own} was due in {where}: {text}")
            name = name or ""
            for result in inner:
                results.append(Result(result.ok, result.number, f"{name}/{result.name}", result.directive,
                                      result.diagnostics))
            results.append(Result(ok == "ok", int(number), name, (directive or "").upper(),
                                  diagnostics + ([reason] if reason else [])))
            inner, diagnostics = [], []
        elif TOTALS.match(text):
            problems += wrong_totals(TOTALS.match(text)[1], results, where)
        elif text.startswith("#"):
            diagnostics.append(text[1:].strip())
        elif text.startswith("Bail out!"):
            problems.append(f"{where} gave up: {text}")
        else:
            problems.append(f"not KTAP in {where}: {text}")
    if plan is None:
        problems.append(f"no plan in {where}")
    elif plan != own:
        problems.append(f"{plan} tests planned in {where}, {own} reported")
    if plan == 0:
        problems.append(f"an empty plan in {where}: no test has this name")
    if inner:
        problems.append(f"a group without a result of its own in {where}")
    return results, index


def wrong_totals(text, results, where):
    """A '# Totals:' line against the results themselves."""
    said = {key: int(value) for key, value in re.findall(r"(\w+):(\d+)", text)}
    counted = {"pass": sum(result.ok and result.directive != "SKIP" for result in results),
               "fail": sum(result.failed for result in results),
               "skip": sum(result.directive == "SKIP" for result in results)}
    return [f"totals of {where}: {key}:{said[key]} said, {counted[key]} counted"
            for key in counted if said.get(key, counted[key]) != counted[key]]
