"""The bundled data is the Adult table, whole and with plain dtypes."""

from importlib import resources

from mlfund.advisor.demo import ADULT_FILE, load_adult, load_adult_frame


def test_adult():
    X, y = load_adult()
    assert X.shape == (48842, 14)
    assert int(X.isna().sum().sum()) == 6465
    assert y.name == "income"
    assert y.value_counts().to_dict() == {"<=50K": 37155, ">50K": 11687}
    kinds = [str(dtype) for dtype in X.dtypes]
    assert kinds.count("int32") == 6
    assert kinds.count("category") == 8


def test_the_frame_holds_the_target_too():
    frame = load_adult_frame()
    X, y = load_adult()
    assert frame.equals(X.assign(income=y))


def test_it_is_small_and_names_its_licence():
    folder = resources.files("mlfund") / "data"
    assert len((folder / ADULT_FILE).read_bytes()) < 700_000
    note = (folder / "README.md").read_text(encoding="utf-8")
    assert "CC BY 4.0" in note
    assert "Becker" in note


def test_it_equals_the_benchmark_table(shared_table):
    X, y, _ = shared_table("adult")
    bundled_X, bundled_y = load_adult()
    assert bundled_X.equals(X)
    assert bundled_y.astype(str).tolist() == y.astype(str).tolist()
