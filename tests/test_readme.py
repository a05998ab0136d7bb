"""The README's ten lines print what the README says, and its links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_ten_lines_print_what_stands_below_them():
    code, printed = re.search(r"```python\n(.*?)```\n\n```\n(.*?)```", README, re.DOTALL).groups()
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, cwd=ROOT
    )
    assert run.stderr == ""
    words, seen = printed.split(), run.stdout.split()
    assert len(seen) == len(words)
    for word, number in zip(words, seen, strict=True):
        if re.fullmatch(r"-?\d+\.\d", word):  # training in float32 differs a little by machine
            assert abs(float(word) - float(number)) <= 0.15
        else:
            assert word == number


def test_every_link_leads_somewhere():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")]:
        links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
        for link in links:
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page.name}: {link}"
