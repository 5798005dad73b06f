"""A preprocessor of mdBook: formulas between dollar signs reach MathJax as they are written.

Markdown would take the backslash of `\\,` for an escape, and mdBook's MathJax knows `\\(` and `\\[`
only. Code is left alone.
"""

import json
import re
import string
import sys

# Code in fences and in the line first, so that dollar signs in it are no formulas.
PARTS = re.compile(r"(?P<code>```.*?```|`[^`\n]*`)|\$\$(?P<display>.+?)\$\$|\$(?P<inline>[^$\n]+?)\$", re.DOTALL)


def escaped(formula):
    """Text that Markdown gives on unchanged."""
    return "".join("\\" + letter if letter in string.punctuation else letter for letter in formula)


def replaced(found):
    if found["code"]:
        return found["code"]
    if found["display"]:
        return "\\\\[" + escaped(" ".join(found["display"].split())) + "\\\\]"
    return "\\\\(" + escaped(found["inline"]) + "\\\\)"


def walk(items):
    for item in items:
        if isinstance(item, dict) and "Chapter" in item:
            chapter = item["Chapter"]
            chapter["content"] = PARTS.sub(replaced, chapter["content"])
            walk(chapter["sub_items"])


if __name__ == "__main__":
    if sys.argv[1:2] == ["supports"]:
        sys.exit(0)
    _, book = json.load(sys.stdin)
    walk(book.get("items", book.get("sections", [])))
    json.dump(book, sys.stdout)
