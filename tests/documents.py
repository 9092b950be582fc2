"""The documents for readers, and what stands in their code blocks."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

TOP = Path(__file__).parents[1]
TUTORIALS = sorted((TOP / "docs/tutorials").glob("*.md"))
DOCUMENTS = [
    *(TOP / name for name in ("README.md", "BUILD.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((TOP / "docs").glob("*.md")),
    *TUTORIALS,
    *sorted((TOP / "docs/reference").glob("*.md")),
]


def name_of(document: Path) -> str:
    """The path of a document from the top level."""
    return document.relative_to(TOP).as_posix()


def code_blocks(document: Path, language: str) -> list[tuple[int, str]]:
    """The line that a block begins after, and its text, of all blocks of a language."""
    text = document.read_text(encoding="utf-8")
    found = re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(text.count("\n", 0, block.start()) + 1, block[1]) for block in found]


def languages(document: Path) -> set[str]:
    """Of the code blocks of a document; "" is that of a block without one."""
    fences = re.findall(r"^```(.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return set(fences[::2])


def commands(document: Path) -> list[list[str]]:
    """The words of each command of a document's shell blocks, without variables that are set."""
    found = []
    for _, block in code_blocks(document, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words: list[str] = []
            for word in [*shlex.split(line, comments=True), "&&"]:
                if word in ("&&", "|"):
                    if words:
                        found.append(words)
                    words = []
                elif words or not re.match(r"[A-Z_]+=", word):
                    words.append(word)
    return found
