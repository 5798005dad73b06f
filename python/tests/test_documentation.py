"""The examples of the package's docstrings and of the manual's page run. RTG names the program."""

import doctest
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import returntogo

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "python.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


class Examples(unittest.TestCase):
    def test_docstrings(self):
        count = 0
        for name in ("", "._dataset", "._error", "._policy", "._vector"):
            module = returntogo if not name else sys.modules[f"returntogo{name}"]
            result = doctest.testmod(module)
            self.assertEqual(result.failed, 0, module)
            count += result.attempted
        self.assertGreater(count, 8)

    def test_everything_public_is_documented(self):
        for name in returntogo.__all__:
            self.assertTrue(name == "__version__" or getattr(returntogo, name).__doc__, name)

    def test_the_manual(self):
        blocks = BLOCK.findall(PAGE.read_text())
        self.assertGreaterEqual(len(blocks), 3)
        program = pathlib.Path(os.environ.get("RTG", "rtg")).absolute()
        path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
        with tempfile.TemporaryDirectory() as folder:
            for block in blocks:
                done = subprocess.run(
                    [sys.executable, "-c", block], cwd=folder, env=os.environ | {"PATH": path},
                    capture_output=True, text=True)
                self.assertEqual(done.returncode, 0, block + done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
