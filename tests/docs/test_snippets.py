"""Every Python block of every page runs: top to bottom, in one namespace per page.

A ```` ```python ```` block must run without an error or a warning. A
```` ```pycon ```` block must print what it shows, as a doctest.
"""

from __future__ import annotations

import doctest
import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>python|pycon)[^\n]*\n(?P<code>.*?)^(?P=indent)```", re.M | re.S
)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Block(NamedTuple):
    """One piece of code and where it stands."""

    language: str
    code: str
    line: int


def blocks(text: str) -> Iterator[Block]:
    """Code blocks of a page, without the indentation of a list or a tab they stand in."""
    for match in FENCE.finditer(text):
        indent = len(match["indent"])
        code = "".join(line[indent:] or "\n" for line in match["code"].splitlines(keepends=True))
        yield Block(match["language"], code, text.count("\n", 0, match.start("code")))


def run_page(text: str, name: str) -> int:
    """Run all blocks of a page in one namespace; return how many there were."""
    namespace = {"__name__": "__page__"}
    count = 0
    for block in blocks(text):
        count += 1
        if block.language == "pycon":
            run_session(block, name, namespace)
        else:
            run_code(block, name, namespace)
    return count


def run_code(block: Block, name: str, namespace: dict) -> None:
    # leading empty lines give a traceback the line numbers of the page
    source = "\n" * block.line + block.code
    try:
        exec(compile(source, name, "exec"), namespace)
    except Exception as error:
        frames = list(traceback.extract_tb(error.__traceback__))
        line = next((f.lineno for f in reversed(frames) if f.filename == name), block.line + 1)
        code = source.splitlines()[(line or 1) - 1].strip()
        raise AssertionError(
            f"{name}, line {line}: `{code}` raised {type(error).__name__}: {error}"
        ) from error


def run_session(block: Block, name: str, namespace: dict) -> None:
    test = doctest.DocTestParser().get_doctest(block.code, {}, name, name, block.line)
    test.globs = namespace
    lines: list[str] = []
    doctest.DocTestRunner(optionflags=FLAGS).run(test, out=lines.append, clear_globs=False)
    assert not lines, "".join(lines)


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_page(page.read_text(encoding="utf-8"), str(page.relative_to(ROOT)))


def test_the_pages_that_teach_have_code():
    names = ["README.md", "docs/getting_started.md", *(f"docs/{p}" for p in ("guide", "how_to"))]
    for name in names:
        for page in [ROOT / name] if name.endswith(".md") else (ROOT / name).glob("*.md"):
            assert any(blocks(page.read_text(encoding="utf-8"))), page


PAGE = """# Title
```python
x = 1
```
- in a list
  ```python
  x += 1
  ```
```pycon
>>> x
2
```
```console
$ not python
```
"""


def test_blocks_share_a_namespace_and_other_languages_are_left():
    assert run_page(PAGE, "page.md") == 3


def test_a_failure_names_page_line_code_and_error():
    with pytest.raises(
        AssertionError, match=r"page\.md, line 8: `boom` raised NameError: name 'boom'"
    ):
        run_page(PAGE.replace("  x += 1", "\n  boom"), "page.md")


def test_a_wrong_output_is_a_failure():
    with pytest.raises(AssertionError, match=r"Expected:\s+3\s+Got:\s+2"):
        run_page(PAGE.replace("\n2\n", "\n3\n"), "page.md")
