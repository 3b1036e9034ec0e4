"""Keeps the code that docs/ quotes equal to the code, by file and pattern, never by line.

In a document, a quotation is a comment followed by a fenced block:

    <!-- quote FILE /first line/ /last line/ -->
    ```c
    ...
    ```

The patterns are regular expressions; the quotation runs from the first line that matches the first one to the next line
that matches the second (or the same line). A pattern may not contain a slash: write a dot. Without arguments the tool
compares; --update rewrites the blocks.
"""
import re
import sys

from host.paths import TOP

MARK = re.compile(r'^<!-- quote (\S+) /(.*?)/ /(.*?)/ -->$')
LINK = re.compile(r'\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)')


class Problem(Exception):
    """A quotation that cannot be resolved."""


def find_quote(name, first, last):
    """The quoted lines of a file."""
    path = TOP / name
    if not path.is_file():
        raise Problem(f'{name}: no such file')
    lines = path.read_text().splitlines()
    start = next((i for i, line in enumerate(lines) if re.search(first, line)), None)
    if start is None:
        raise Problem(f'{name}: no line matches /{first}/')
    end = next((i for i in range(start, len(lines)) if re.search(last, lines[i])), None)
    if end is None:
        raise Problem(f'{name}: after /{first}/ no line matches /{last}/')
    return lines[start:end + 1]


def refresh(text):
    """The document with every quotation as the code is now."""
    lines, result, i = text.splitlines(), [], 0
    while i < len(lines):
        result.append(lines[i])
        mark = MARK.match(lines[i])
        i += 1
        if not mark:
            continue
        if i >= len(lines) or not lines[i].startswith('```'):
            raise Problem(f'after {mark.group(0)} a fenced block must follow')
        result.append(lines[i])
        i += 1
        while i < len(lines) and not lines[i].startswith('```'):
            i += 1
        result += find_quote(*mark.groups())
    return '\n'.join(result) + '\n'


def broken_links(path, text):
    """Relative links of a document that lead nowhere."""
    for target in LINK.findall(text):
        if '://' not in target and not (path.parent / target).exists():
            yield target


def main(words):
    """Checks or updates README.md and docs/."""
    update = words == ['--update']
    if words and not update:
        return 'usage: tools/tool docs.quotes [--update]'
    problems = []
    for path in [TOP / 'README.md', *sorted((TOP / 'docs').rglob('*.md'))]:
        text = path.read_text()
        name = path.relative_to(TOP)
        problems += [f'{name}: the link {target} leads nowhere' for target in broken_links(path, text)]
        try:
            fresh = refresh(text)
        except Problem as problem:
            problems.append(f'{name}: {problem}')
            continue
        if fresh != text and update:
            path.write_text(fresh)
        elif fresh != text:
            problems.append(f'{name}: a quotation is not what the code says; run: make docs')
    for problem in problems:
        print(f'quotes: {problem}', file=sys.stderr)
    return 1 if problems else 0
