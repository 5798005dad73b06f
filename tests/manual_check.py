"""Do the manual's commands work, and does it build?

    python tests/manual_check.py RTG [--mdbook MDBOOK]

Runs every `rtg` line in an `sh` block of the pages that say so, page by page in a folder of its own,
in their order; then builds the book, without one warning. Exits with 1 at the first that fails.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
MARK = "<!-- Its commands are executed by tests/manual_check.py. -->"
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("rtg")
    parser.add_argument("--mdbook")
    arguments = parser.parse_args()
    pages = [page for page in sorted((ROOT / "docs").rglob("*.md")) if MARK in page.read_text()]
    assert len(pages) >= 6, pages
    for page in pages:
        with tempfile.TemporaryDirectory() as folder:
            count = run(page, arguments.rtg, folder)
        print(f"{page.relative_to(ROOT)}: {count} commands", flush=True)
    if arguments.mdbook:
        build(arguments.mdbook)


def run(page, rtg, folder):
    """The commands of a page, in a shell that knows `rtg`."""
    blocks = [block.replace("\\\n", " ") for block in BLOCK.findall(page.read_text())]
    lines = [line for block in blocks for line in block.splitlines() if line.strip()]
    environment = os.environ | {"PATH": f"{pathlib.Path(rtg).resolve().parent}:{os.environ['PATH']}", "HOME": folder}
    for line in lines:
        done = subprocess.run(["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{page}: {line}\nexit code {done.returncode}\n{done.stdout}{done.stderr}")
    return len(lines)


def build(mdbook):
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [mdbook, "build", "docs", "--dest-dir", folder], cwd=ROOT, capture_output=True, text=True)
        told = done.stdout + done.stderr
        if done.returncode or re.search(r"\b(WARN|ERROR)\b", told):
            sys.exit(f"mdbook: exit code {done.returncode}\n{told}")
        made = list(pathlib.Path(folder).rglob("*.html"))
        pages = len(list((ROOT / "docs").rglob("*.md"))) - 1
        assert len(made) >= pages, (len(made), pages)
        formulas = (pathlib.Path(folder) / "algorithms" / "td3_bc.html").read_text()
        assert r"\(\pi\)" in formulas and r"(1 - d)\,\min" in formulas, "formulas are damaged"
        print(f"the book: {len(made)} pages")


if __name__ == "__main__":
    main()
