"""What the documents promise of the repository: links, tests that they name, versions.

`make docs` checks the links between pages of docs/, and every name of the reference.
"""

from __future__ import annotations

import re

import pytest
import yaml
from documents import DOCUMENTS, TOP, name_of

import tgan_tf

PAPER = TOP / "docs/paper.md"


def test_readme_is_short():
    assert len((TOP / "README.md").read_text(encoding="utf-8").splitlines()) <= 180


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_files_that_a_document_links_to_are_there(document):
    text = re.sub("^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.M | re.S)
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_the_tests_that_check_a_claim_of_the_paper_exist():
    named = 0
    file = None
    for code in re.findall(r"`([^`\n]+)`", PAPER.read_text(encoding="utf-8")):
        found = re.fullmatch(r"(?:(tests/\S+\.py): )?(test_\w+)", code)
        if found is None:
            continue
        file = found[1] or file
        text = (TOP / file).read_text(encoding="utf-8")
        assert re.search(rf"^ *def {found[2]}\(", text, re.MULTILINE), code
        named += 1
    assert named > 40


def test_files_that_are_named_with_a_path_exist():
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for path in re.findall(r"`((?:tests|experiments|tgan_tf)/[\w/.]+\.\w+)[`:]", text):
            if "NAME" not in path and "frame_folders" not in path:
                assert (TOP / path).is_file(), (name_of(document), path)


def test_every_page_is_in_the_navigation():
    # Only what the tests need of it: tags of MkDocs's own would be refused.
    settings = yaml.safe_load((TOP / "mkdocs.yml").read_text(encoding="utf-8"))
    listed = re.findall(r"[\w/]+\.md", str(settings["nav"]))
    there = {path.relative_to(TOP / "docs").as_posix() for path in (TOP / "docs").rglob("*.md")}
    assert sorted(listed) == sorted(there)


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((TOP / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == tgan_tf.__version__
    assert f"{{{tgan_tf.__version__}}}" in (TOP / "README.md").read_text(encoding="utf-8")
    changes = (TOP / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d$", changes, re.MULTILINE)
    assert released[0] == tgan_tf.__version__


def test_make_docs_fails_on_warnings():
    makefile = (TOP / "Makefile").read_text(encoding="utf-8")
    (build,) = re.findall(r"^\t\$\(MKDOCS\) build (.*)$", makefile, re.MULTILINE)
    # With --quiet MkDocs counts no warnings, and --strict lets them pass.
    assert build == "--strict"


def test_pre_commit_runs_what_make_lint_runs():
    hooks = yaml.safe_load((TOP / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    entries = [hook["entry"] for repo in hooks["repos"] for hook in repo["hooks"]]
    makefile = (TOP / "Makefile").read_text(encoding="utf-8")
    target = re.search(r"^lint:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert entries == [
        line.strip().replace("$(BIN)", ".venv/bin") for line in target[1].splitlines()
    ]


@pytest.mark.parametrize("path", sorted((TOP / ".github").rglob("*.yml")), ids=lambda p: p.name)
def test_a_file_of_the_forge_is_yaml_that_runs_targets_of_make(path):
    text = path.read_text(encoding="utf-8")
    assert yaml.safe_load(text)
    makefile = (TOP / "Makefile").read_text(encoding="utf-8")
    for targets in re.findall(r"make PYTHON=python ([a-z ]+)", text):
        for target in targets.split():
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
