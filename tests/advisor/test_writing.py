"""Files of an advice: strict JSON, atomic writes, a folder that is proven writable."""

import json

import numpy as np
import pytest

from mlfund._check import DataError
from mlfund.advisor import writing
from tests.advisor.sample import sample_advice_dict


def test_json_is_strict_and_complete(tmp_path):
    advice = sample_advice_dict()
    advice["leaderboard"][0]["score_mean"] = np.float64("nan")
    advice["budget"]["used_seconds"] = float("inf")
    advice["data"]["rows"] = np.int64(7)
    path = writing.write_json(advice, tmp_path)

    def refuse(constant):
        raise AssertionError(constant)

    found = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    assert found["leaderboard"][0]["score_mean"] is None
    assert found["budget"]["used_seconds"] is None
    assert found["data"]["rows"] == 7
    assert list(found) == list(advice)


def test_text_beyond_ascii_and_damaged_text(tmp_path):
    advice = sample_advice_dict()
    advice["data"]["target"] = "Größe"
    advice["data"]["file"] = "\udcff.csv"
    content = writing.write_json(advice, tmp_path).read_text(encoding="utf-8")
    assert "Größe" in content
    escaped = writing.to_json(advice, ascii_only=True)
    assert escaped.isascii()
    assert json.loads(escaped) == json.loads(content.replace("?.csv", "\\udcff.csv"))
    assert "Größe" in writing.write_report(advice, tmp_path).read_text(encoding="utf-8")


def test_a_failing_report_leaves_the_file_before(tmp_path):
    path = writing.write_report(sample_advice_dict(), tmp_path)
    before = path.read_bytes()
    with pytest.raises(KeyError):
        writing.write_report({}, tmp_path)
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["report.html"]


def test_the_folder_is_made_and_left_empty(tmp_path):
    folder = writing.prepare_folder(tmp_path / "a" / "b")
    assert folder.is_dir()
    assert list(folder.iterdir()) == []
    assert writing.prepare_folder(folder) == folder


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(DataError, match=r"a file is in the way\); choose another with --out"):
        writing.prepare_folder(tmp_path / "a")
    with pytest.raises(DataError, match="cannot be written to"):
        writing.prepare_folder(tmp_path / "a" / "b")


def test_a_folder_without_permission(tmp_path, monkeypatch):
    def refuse(**options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(writing.tempfile, "TemporaryFile", refuse)
    with pytest.raises(DataError, match="Permission denied"):
        writing.prepare_folder(tmp_path)
