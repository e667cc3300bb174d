"""The comparison of what scripts print, and the scripts themselves."""

import pytest

from benchmarks.accelerate import FOLDER, largest_difference


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("a 0.5\n", "a 0.25\n", 0.25),
        ("a   1e-3", "a 0.001", 0.0),
        ("a 0.5", "b 0.5", None),
        ("a 0.5 0.5", "a 0.5", None),
        ("[-1 2]", "[-1 3]", 1.0),
        ("words", "words", 0.0),
    ],
)
def test_printed_numbers_are_compared_and_words_are_equal(one, other, expected):
    assert largest_difference(one, other) == expected


def test_there_are_ten_scripts_that_know_nothing_of_mlfund():
    scripts = list(FOLDER.glob("*.py"))
    assert len(scripts) == 10
    for script in scripts:
        text = script.read_text()
        assert "mlfund" not in text
        assert "from sklearn" in text
        compile(text, str(script), "exec")
