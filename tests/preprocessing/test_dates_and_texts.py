"""Dates against pandas' calendar, texts against scikit-learn's TF-IDF and SVD."""

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from mlfund import TablePreprocessor
from mlfund._check import seed_from
from mlfund.preprocessing._dates import PARTS


def parts_of(dates, **params):
    table = TablePreprocessor(numeric_scaling=None, **params)
    out = table.fit_transform(pd.DataFrame({"t": dates}))
    return pd.DataFrame(out, columns=table.get_feature_names_out())


@pytest.fixture
def moments():
    rng = np.random.default_rng(0)
    seconds = rng.integers(-(2**31), 2**32, 500)  # 1901 to 2106
    return pd.Series(pd.to_datetime(seconds, unit="s"))


def test_parts_agree_with_the_calendar(moments):
    found = parts_of(moments)
    assert found.columns.tolist() == [f"t:{part}" for part in PARTS]
    calendar = moments.dt
    for part in ("year", "month", "day"):
        assert found[f"t:{part}"].tolist() == getattr(calendar, part).tolist()
    assert found["t:weekday"].tolist() == calendar.day_of_week.tolist()
    hour = calendar.hour + calendar.minute / 60 + calendar.second / 3600
    np.testing.assert_allclose(found["t:hour"], hour, rtol=1e-12)
    elapsed = (moments - pd.Timestamp(0)) / pd.Timedelta(days=1)
    np.testing.assert_allclose(found["t:elapsed_days"], elapsed, rtol=1e-12)


def test_circle_closes(moments):
    ends = pd.to_datetime(["2020-12-31 23:59:59", "2021-01-01 00:00:00", "2020-07-01 12:00:00"])
    found = parts_of(ends)
    for part in ("year", "hour"):
        circle = found[[f"t:{part}_sin", f"t:{part}_cos"]].to_numpy()
        assert np.linalg.norm(circle[0] - circle[1]) < 0.02
        assert np.linalg.norm(circle[1] - circle[2]) > 1.9


def test_parts_that_do_not_vary_are_left_out():
    found = parts_of(pd.to_datetime(["2020-03-01", "2020-03-02", "2020-03-05"]))
    assert {name.partition(":")[2].partition("_")[0] for name in found} == {
        *("elapsed", "day", "weekday", "year")
    }
    assert "t:year" not in found


def test_missing_date_has_one_mark_and_median_parts():
    found = parts_of(pd.to_datetime(["2020-01-01", None, "2020-01-03", "2020-01-02"]))
    assert found["t=missing"].tolist() == [0, 1, 0, 0]
    assert found["t:day"][1] == 2


@pytest.mark.parametrize(
    "written", ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%m/%d/%Y", "%d.%m.%Y", "%Y/%m/%d %H:%M:%S"]
)
def test_dates_kept_as_text_are_read(moments, written):
    cells = moments.dt.strftime(written)
    expected = parts_of(pd.to_datetime(cells, format=written))
    pd.testing.assert_frame_equal(parts_of(cells), expected)


def test_time_zone_of_fit_is_the_clock_later():
    zoned = pd.to_datetime(["2020-01-01 08:00", "2020-06-02 09:30"]).tz_localize("Asia/Tokyo")
    table = TablePreprocessor(numeric_scaling=None).fit(pd.DataFrame({"t": zoned}))
    hour = table.get_feature_names_out().tolist().index("t:hour")
    later = pd.DataFrame({"t": zoned.tz_convert("UTC")})
    assert table.transform(later)[:, hour].tolist() == [8, 9.5]


@pytest.fixture
def texts():
    rng = np.random.default_rng(0)
    words = np.array([f"word{i}" for i in range(40)])
    return pd.DataFrame({"t": [" ".join(rng.choice(words, 8)) for _ in range(100)]})


def test_text_is_tfidf_and_svd_up_to_one_factor(texts):
    table = TablePreprocessor(text_components=5)
    found = table.fit_transform(texts)
    weights = TfidfVectorizer(sublinear_tf=True).fit_transform(texts["t"])
    expected = TruncatedSVD(5, random_state=seed_from(0)).fit(weights).transform(weights)
    ratio = np.linalg.norm(found) / np.linalg.norm(expected)
    np.testing.assert_allclose(found, expected * ratio, rtol=1e-9, atol=1e-12)
    assert found.var(axis=0).mean() == pytest.approx(1)
    assert table.get_feature_names_out().tolist() == [f"t:topic{i}" for i in range(5)]


def test_text_of_unknown_words_or_none_is_zero(texts):
    table = TablePreprocessor().fit(texts)
    later = pd.DataFrame({"t": ["entirely new", None, ""]})
    assert not table.transform(later).any()


def test_text_tells_topics_apart():
    rng = np.random.default_rng(0)
    topics = [np.array(words.split()) for words in ("sun sea sand beach", "bond stock fund rate")]
    label = rng.integers(0, 2, 200)
    X = pd.DataFrame({"t": [" ".join(rng.choice(topics[i], 7)) for i in label]})
    found = TablePreprocessor(text_components=2).fit_transform(X)
    assert LogisticRegression().fit(found[:100], label[:100]).score(found[100:], label[100:]) == 1


def test_text_without_words_is_left_out():
    X = pd.DataFrame({"t": [f"{'!' * i} ?? ..." for i in range(1, 60)], "n": range(59)})
    table = TablePreprocessor().fit(X)
    assert table.column_kinds_["t"] == "text"
    assert table.get_feature_names_out().tolist() == ["n"]
    assert table.describe()["treatment"][0] == "dropped: no words"
