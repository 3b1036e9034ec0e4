"""Two literals of Microsoft's compiler that gcc has not, rewritten in preprocessed text.

They are `__FUNCTION__ ": text"` and `5i64`.

    if literals.are_in(source):
        text = literals.bridged(preprocessed)

There __FUNCTION__ is a string literal, which joins those beside it; here it is a variable. So where one is beside a
literal, the name of the function around it is put in its place: a function is what begins with NAME(...) before a brace,
outside any other.
"""

import re

WANTED = re.compile(r'__FUNCTION__\s*L?"|"\s*__FUNCTION__|\b\d[0-9a-fA-FxX]*[uU]?[iI](?:8|16|32|64)\b')
TOKEN = re.compile(r"""(?P<line>^\#[^\n]*) | (?P<space>\s+) | (?P<string>(?:u8|[LuU])?"(?:\\.|[^"\\\n])*") | '(?:\\.|[^'\\\n])*'
                       | (?P<word>[A-Za-z_]\w*(?:\s*::\s*~?\w+)*) | (?P<number>\.?\d[\w.]*) | .""", re.M | re.X)
SUFFIX = re.compile(r"(0[xX][0-9a-fA-F]+|\d+)([uU]?)[iI](8|16|32|64)\Z")
NO_NAMES = {"__attribute__", "__declspec", "__extension__", "alignas", "decltype", "_Alignas", "__asm__"}


def are_in(source):
    """Whether a source has such literals, so that it is worth a second look when gcc has refused it."""
    return WANTED.search(source) is not None


def number(text):
    """A number without Microsoft's suffix."""
    found = SUFFIX.match(text)
    return text if found is None else found[1] + found[2] + ("ll" if found[3] == "64" else "")


def bridged(text):
    """The preprocessed text of a source, with literals that gcc understands. Lines stay as they are."""
    tokens = [(match.lastgroup, match[0]) for match in TOKEN.finditer(text)]
    solid = [index for index, (kind, _) in enumerate(tokens) if kind not in ("line", "space")]
    result = [number(word) if kind == "number" else word for kind, word in tokens]
    name, candidate, depth, body, parens = "", "", 0, None, 0    # body: the depth outside the function that is being read
    for place, index in enumerate(solid):
        kind, word = tokens[index]
        if word == "{":
            if body is None and candidate:
                name, body = candidate, depth
            depth += 1
        elif word == "}":
            depth -= 1
            body = None if depth == body else body
        if body is None and word in (";", "{", "}"):
            candidate = ""
        elif body is None and word == "(" and not candidate and parens == 0 and place > 0:
            before = tokens[solid[place - 1]]
            candidate = re.sub(r"\s", "", before[1]) if before[0] == "word" and before[1] not in NO_NAMES else ""
        parens += (word == "(") - (word == ")")
        if word == "__FUNCTION__" and name:
            beside = solid[max(place - 1, 0):place] + solid[place + 1:place + 2]
            if any(tokens[other][0] == "string" or tokens[other][1] == "__FUNCTION__" for other in beside):
                result[index] = f'"{name}"'
    return "".join(result)
