"""Places where a source leaves a __try and ends otherwise here than on Windows.

    for line, text in leaving.differences(source): ...

The body runs as a plain block (kernel/include/ddk/compiler.h): a `return` in it skips the __finally that Windows would run,
and a __leave inside a loop or switch of the body ends only that. The verdict may then be another one, so it is said aloud.
"""

from build.literals import TOKEN
from build.mkdriver import COMMENT, without_dead_code

TRY, FINALLY, LEAVE = ("__try", "_try"), ("__finally", "_finally"), ("__leave", "_leave")
ALIASES = {"try": "__try", "except": "__except", "finally": "__finally", "leave": "__leave"}    # of excpt.h, in C
LOOPS = ("for", "while", "do", "switch")


def words(source):
    """(line, token) of a source, without spaces, comments and directives."""
    text = without_dead_code(COMMENT.sub(lambda m: m.group(1) or " " + "\n" * m.group(0).count("\n"), source))
    line = 1
    for match in TOKEN.finditer(text):
        if match.lastgroup not in ("space", "line"):
            yield line, match[0]
        line += match[0].count("\n")


def differences(source, language="c"):
    """[(line, what differs)] in the order of lines. In C the words have lower-case aliases."""
    found, blocks, pending, parens = [], [], "", 0      # blocks: [kind, the returns in it], innermost last
    aliases = ALIASES if language == "c" else {}
    stream = [*((line, aliases.get(word, word)) for line, word in words(source)), (0, "")]
    for index, (line, word) in enumerate(stream):
        parens += (word == "(") - (word == ")")
        if word in TRY or word in LOOPS:
            pending = "try" if word in TRY else "loop"
        elif word == "{":
            blocks.append([pending or "block", []])
            pending = ""
        elif word == ";" and parens == 0:
            pending = ""
        elif word == "}" and blocks:
            kind, returns = blocks.pop()
            if kind == "try" and stream[index + 1][1] in FINALLY:
                found += [(at, "a return inside __try skips __finally here; on Windows __finally runs") for at in returns]
        elif word == "return":
            for kind, returns in blocks:
                if kind == "try":
                    returns.append(line)
        elif word in LEAVE:
            kinds = [kind for kind, _ in blocks if kind != "block"] + ([pending] if pending else [])
            if kinds and kinds[-1] == "loop":
                found.append((line, "__leave inside a loop ends only the loop here; on Windows it ends the __try"))
    return sorted(found)
