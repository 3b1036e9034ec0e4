"""Grades a lab: the kernel with a student's files, part by part, and what broke which rule.

`tools/bugcheck grade [NUMBER] [FOLDER] [--part PART] [--seeds N] [--quick] [--nonce WORD] [--format text|json|ktap|junit|gradescope]`
`tools/bugcheck grade replay NUMBER PART [--test PREFIX] [--seed N] [--append WORDS] [--gdb]`  the run that failed, again; or stopped in GDB
`tools/bugcheck grade explore NUMBER PART`                      the shortest schedule that breaks a part's rule
`tools/bugcheck grade selfcheck [NUMBER...]`                    the reference, the starter and each mutant get what they should

Exit 0 when every part passes, 1 when one does not, 2 when it could not be graded; never the points. replay and explore take the
kernel that was graded last.
"""

import argparse
import json
import os
import secrets
import sys
import time
from pathlib import Path
from xml.sax.saxutils import quoteattr

from build import labs
from build.mutants import plant
from cli.gradeparts import grade, measured
from cli.lab import started
from cli.options import Parser, say, whole
from host.folderlock import alone_in
from host.paths import OUT, TOP, CannotRun, shown
from machine.emulators import qemu_version
from machine.process import handle_signals

USAGE = "usage: tools/bugcheck grade [NUMBER] [FOLDER] [options], or grade replay|explore NUMBER PART, or grade selfcheck [NUMBER...]"
ACTIONS = ("replay", "explore", "selfcheck")
OF = 100
MOST_HINTS = 2                                  # that fit equally well; more say nothing
WAIT = 600                                      # seconds for another run's end
REPLAY_SECONDS = "30"                           # of the wall, before a replay says where its CPUs are


def parse(words):
    parser = Parser("tools/bugcheck grade", USAGE)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--part", "-t", action="append", default=[])
    parser.add_argument("--seeds", "-k", type=whole(1, 10000))
    parser.add_argument("--seed", type=whole(0, (1 << 63) - 1))
    parser.add_argument("--append")
    parser.add_argument("--test")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--gdb", action="store_true")
    parser.add_argument("--nonce", default=None)
    parser.add_argument("--apart", metavar="NAME", type=plain)
    parser.add_argument("--format", choices=tuple(FORMATS), default="text")
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_intermixed_args(words)
    options.action = options.words.pop(0) if options.words[:1] and options.words[0] in ACTIONS else "grade"
    if options.action in ("replay", "explore") and len(options.words) != 2 or options.action == "grade" and len(options.words) > 2:
        raise CannotRun(USAGE)
    return options


def plain(text):
    if not text.isalnum():
        raise argparse.ArgumentTypeError(f"'{text}' is not a word of letters and digits")
    return text


def chosen(options):
    """The lab and the student's folder: as told, or those of the folder that one is in."""
    words, folder, lab = list(options.words), Path("."), None
    if words and not Path(words[0]).is_dir():
        lab = labs.lab(words.pop(0))
    if words:
        folder = Path(words.pop(0))
    if words:
        raise CannotRun(USAGE)
    if not folder.is_dir():
        raise CannotRun(f"there is no folder {folder}; `tools/bugcheck lab start NUMBER FOLDER` makes one")
    number = started(folder)
    if lab is None and number is None:
        raise CannotRun(f"{folder} is no lab's folder: name the lab, or make one by `tools/bugcheck lab start NUMBER FOLDER`")
    return lab or labs.lab(number), folder


def kernel_of(lab, apart):
    """What is built of a lab; apart from another's of the same lab."""
    return labs.Kernel(lab, (OUT / "labs" / (f"{lab.number}-{apart}" if apart else lab.number)).resolve())


# ---- One grade ----

def graded(kernel, texts, settings, parts):
    """[(part, points, runs, refusal)]; a kernel that does not build, or does not come up, gets nothing in any part."""
    try:
        kernel.build(texts())
    except labs.Refused as problem:
        return [(part, 0, [], str(problem)) for part in parts]
    found = []
    for part in parts:
        if settings.is_shown:
            sys.stderr.write(f"\r\x1b[K{part['name']}")
        points, runs = grade(kernel, part, settings)
        found.append((part, points, runs, None))
    if settings.is_shown:
        sys.stderr.write("\r\x1b[K")
    return found


def total(found):
    return max(0, min(OF, round(sum(points for _, points, _, _ in found), 1)))


def failing(found):
    return {part["name"] for part, _, runs, refusal in found if refusal or not all(run.right for run in runs)}


def hints_for(lab, found):
    """The hints of those wrong solutions that fail in the same parts, or nearly; none where most is still to be done."""
    graded_parts, failed = {part["name"] for part, *_ in found}, failing(found) - {"predictions"}
    if len(graded_parts) > 3 and len(failed) * 4 > len(graded_parts) * 3:
        return []
    alike = {}
    for mutant in lab.mutants():
        parts = set(mutant.killers[0].parts) & graded_parts
        alike.setdefault(len(parts & failed) / len(parts | failed) if failed else 0, []).append(mutant.hint)
    best = max(alike, default=0)
    return alike[best] if best >= 0.5 and len(alike[best]) <= MOST_HINTS else []


def as_text(lab, folder, found, settings):
    yield f"lab {lab.number}, {lab.title}"
    refusal = next((why for _, _, _, why in found if why), None)
    if refusal:
        yield f"  {refusal}"
    is_first = True
    for part, points, runs, why in found:
        if why:
            continue
        wrong = next((run for run in runs if not run.right), None)
        worth = f"{points:5.4g} of {part['points']:2}" if part["points"] > 0 else f"takes {-points:4g}"
        yield f"{worth}  {part['name']:18} {part['rule']}"
        if wrong:
            many = f" ({sum(run.right for run in runs)} of {len(runs)} right)" if len(runs) > 1 else ""
            yield f"{'':13}{wrong.why}{many}"
            if is_first and wrong.detail:
                yield from (f"{'':15}{line}".rstrip() for line in wrong.detail.splitlines())
                is_first = False
            if wrong.replay:
                yield f"{'':13}again: {wrong.replay}"
    yield from (f"hint: {hint}" for hint in (hints_for(lab, found) if not refusal else []))
    yield f"{total(found):g} of {sum(max(part['points'], 0) for part, *_ in found)} points{' (quick)' if settings.quick else ''}"


def entries(found):
    for part, points, runs, refusal in found:
        wrong = next((run for run in runs if not run.right), None)
        yield {"name": part["name"], "score": round(points, 1), "max_score": max(part["points"], 0), "rule": part["rule"],
               "status": "failed" if refusal or wrong else "passed", "output": refusal or (wrong.why if wrong else "")}


def as_json(lab, folder, found, settings):
    told = {"lab": lab.number, "points": total(found), "of": OF, "nonce": settings.nonce, "parts": list(entries(found))}
    yield json.dumps(told, indent=1)


def as_gradescope(lab, folder, found, settings):
    tests = [{**{key: entry[key] for key in ("name", "score", "max_score", "status")}, "tags": [lab.number], "visibility": "visible",
              "output": f"{entry['rule']}\n{entry['output']}".strip(), "output_format": "text"} for entry in entries(found)]
    seconds = round(time.monotonic() - settings.began)
    yield json.dumps({"tests": tests, "score": total(found), "execution_time": seconds, "extra_data": {}}, indent=1)


def as_ktap(lab, folder, found, settings):
    yield from ("KTAP version 1", f"1..{len(found)}")
    for number, entry in enumerate(entries(found), 1):
        if entry["output"]:
            yield f"# {entry['output']}"
        yield f"{'ok' if entry['status'] == 'passed' else 'not ok'} {number} - {entry['name']}"


def as_junit(lab, folder, found, settings):
    listed = list(entries(found))
    yield f'<testsuite name={quoteattr(lab.name)} tests="{len(listed)}" failures="{sum(entry["status"] == "failed" for entry in listed)}">'
    for entry in listed:
        inner = f"<failure message={quoteattr(entry['output'])}/>" if entry["status"] == "failed" else ""
        yield f"  <testcase name={quoteattr(entry['name'])}>{inner}</testcase>"
    yield "</testsuite>"


FORMATS = {"text": as_text, "json": as_json, "ktap": as_ktap, "junit": as_junit, "gradescope": as_gradescope}


def settle(options, folder, is_shown):
    options.folder, options.is_shown, options.began = folder, is_shown, time.monotonic()
    options.nonce = options.nonce or secrets.token_hex(8)
    return options


def grade_folder(options):
    lab, folder = chosen(options)
    parts = [lab.part(name) for name in options.part] or lab.parts
    settings, kernel = settle(options, folder, sys.stderr.isatty()), kernel_of(lab, options.apart)
    with alone_in(kernel.folder, WAIT, say):
        found = graded(kernel, lambda: labs.texts_of(lab, folder), settings, parts)
    print("\n".join(FORMATS[options.format](lab, folder, found, settings)))
    return 1 if failing(found) else 0


# ---- Again ----

def graded_last(options):
    lab = labs.lab(options.words[0])
    kernel = kernel_of(lab, options.apart)
    if not (kernel.folder / labs.BUILD / "kernel.elf").is_file():
        raise CannotRun(f"lab {lab.number} was not graded yet: `tools/bugcheck grade {lab.number} FOLDER` comes first")
    return lab, kernel


def in_place_of_this(kernel, *words):
    """The same tools as ever, with the student's kernel."""
    os.chdir(TOP)
    os.execve(TOP / "tools/bugcheck", [str(TOP / "tools/bugcheck"), *words], dict(os.environ, **kernel.environment()))


def replay(options):
    lab, kernel = graded_last(options)
    part = lab.part(options.words[1])
    if "tests" not in part:
        raise CannotRun(f"{part['name']} is no part that boots tests; `tools/bugcheck grade explore {lab.number} PART` shows a schedule")
    seed = options.seed if options.seed is not None else part.get("seed", 3) if part["engine"] != "threads" else None
    words = ["--pvh", "--build", labs.BUILD, "--cpus", str(part["cpus"]), "--mem", "64", "--dump", "none"]
    words += ["--test", options.test or part["tests"][0]]
    words += ["--seed", str(seed)] if seed is not None else []
    words += ["--append", options.append] if options.append else []
    in_place_of_this(kernel, *(["gdb"] if options.gdb else ["run", "--headless", "--timeout", REPLAY_SECONDS]), *words)


def explore(options):
    lab, kernel = graded_last(options)
    part = lab.part(options.words[1])
    if part["engine"] != "explore":
        raise CannotRun(f"{part['name']} is no part that is explored; there are: "
                        f"{', '.join(one['name'] for one in lab.parts if one['engine'] == 'explore')}")
    in_place_of_this(kernel, "explore", part["explore"][0])


# ---- The lab itself ----

def own_texts(lab, mutant=None):
    return {name: plant(mutant) if mutant and mutant.file == name else (TOP / name).read_text() for name in lab.files}


def selfcheck(options):
    """Whether the reference, the starter and each mutant get what they should."""
    wrong = []
    for lab in [labs.lab(word) for word in options.words] or labs.labs():
        kernel, folder = kernel_of(lab, f"{options.apart or ''}selfcheck"), OUT / "labs" / f"{lab.number}-answers"
        folder.mkdir(parents=True, exist_ok=True)
        right = {str(number): next(letter for letter, (low, high) in question["answers"].items() if low <= measured(question) <= high)
                 for number, question in enumerate(lab.questions, 1)}
        (folder / "answers.json").write_text(json.dumps(right))
        settings = settle(options, folder, False)
        candidates = [("the reference", None, lambda lab=lab: own_texts(lab)),
                      ("the starter", None, lambda lab=lab: {name: (lab.starter() / name).read_text() for name in lab.files})]
        candidates += [(mutant.name, mutant, lambda lab=lab, mutant=mutant: own_texts(lab, mutant)) for mutant in lab.mutants()]
        with alone_in(kernel.folder, WAIT, say):
            for name, mutant, texts in candidates:
                if options.part and name.removeprefix("the ") not in options.part:
                    continue
                settings.folder = folder if name != "the starter" else lab.starter()
                found = graded(kernel, texts, settings, lab.parts)
                points, failed = total(found), failing(found)
                if mutant:
                    good = set(mutant.killers[0].parts) <= failed and points < OF
                    text = f"fails in {', '.join(sorted(failed)) or 'nothing'}"
                else:
                    good = points == (OF if name == "the reference" else lab.baseline)
                    text = "" if good else f"and not {OF if name == 'the reference' else lab.baseline}; {', '.join(sorted(failed))} failed"
                print(f"{'ok   ' if good else 'WRONG'}  lab {lab.number}  {name:28} {points:5g}  {text}", flush=True)
                wrong += [] if good else [name]
    return 1 if wrong else 0


def main(words):
    options = parse(words)
    if options.check:
        return 0
    handle_signals()
    qemu_version()
    return {"grade": grade_folder, "replay": replay, "explore": explore, "selfcheck": selfcheck}[options.action](options)
