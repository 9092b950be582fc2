"""Each section of docs/adding_your_own.md works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

DOCUMENT = Path(__file__).parents[1] / "docs/adding_your_own.md"


def sections() -> dict[str, str]:
    """The Python of each section, by its heading."""
    _, *parts = re.split(r"^## (.+)\n", DOCUMENT.read_text(), flags=re.MULTILINE)
    return {
        heading: "\n".join(re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
        for heading, text in zip(parts[::2], parts[1::2])
    }


@pytest.mark.parametrize("heading", sections())
def test_the_example_runs(heading, tmp_path, monkeypatch):
    code = sections()[heading]
    assert code
    monkeypatch.chdir(tmp_path)
    exec(compile(code, heading, "exec"), {"__name__": "adding_your_own"})
