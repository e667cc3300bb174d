"""The command `mlfund predict` for a model of images."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import mlfund
from mlfund import CNNClassifier, CNNRegressor, ImageScaler, PixelRows
from mlfund.nets.layers import Conv, GlobalPool
from tests.cli.conftest import churn_frame

RNG = np.random.default_rng(0)
BRIGHT = np.repeat([0, 1], 10)
X = (RNG.integers(0, 60, (20, 6, 5)) + 180 * BRIGHT[:, None, None]).astype(np.uint8)
Y = np.array(["night", "day"])[BRIGHT]
LAYERS = [Conv(4), GlobalPool()]


@pytest.fixture
def model(tmp_path):
    """Return a saved net that tells bright images from dark ones."""
    fitted = make_pipeline(CNNClassifier(LAYERS, max_iter=100, random_state=0)).fit(X, Y)
    mlfund.save(fitted, tmp_path / "model.skops")
    return fitted


@pytest.fixture
def folder(tmp_path):
    """Return a folder of images, one of them deeper."""
    (tmp_path / "new" / "deeper").mkdir(parents=True)
    for name, place in (("b.png", 15), ("a.png", 2), ("deeper/c.png", 3)):
        Image.fromarray(X[place]).save(tmp_path / "new" / name)
    (tmp_path / "new" / "notes.txt").write_text("none")
    return tmp_path / "new"


def test_a_folder_of_images_gives_a_row_a_file(run, model, folder):
    outcome = run("predict", "model.skops", "new", "--out", "p.csv")
    assert (outcome.code, outcome.err) == (0, "")
    found = pd.read_csv("p.csv")
    assert found.columns.tolist() == ["file", "prediction", "probability_day", "probability_night"]
    expected = {"a.png": 2, "b.png": 15, "deeper/c.png": 3}
    assert found["file"].tolist() == list(expected)
    proba = model.predict_proba(X[list(expected.values())])
    np.testing.assert_allclose(found.iloc[:, 2:], proba, rtol=1e-6)


def test_images_become_as_large_and_as_grey_as_those_of_the_fit(run, model, folder):
    large = np.repeat(X[15].repeat(3, axis=0).repeat(3, axis=1)[..., None], 3, axis=-1)
    Image.fromarray(large).save(folder / "b.png")
    run("predict", "model.skops", "new", "--out", "p.csv")
    assert pd.read_csv("p.csv")["prediction"].tolist() == ["night", "day", "night"]


@pytest.mark.parametrize("suffix", ["npy", "npz", "test.npz"])
def test_arrays(run, model, tmp_path, suffix):
    path = tmp_path / f"new.{suffix}"
    if suffix == "npy":
        np.save(path, X)
    else:
        np.savez(path, **({"x_train": X[:3]} if suffix == "test.npz" else {}), x_test=X, y=BRIGHT)
    assert run("predict", "model.skops", path, "--out", "p.csv").code == 0
    found = pd.read_csv("p.csv")
    assert found.columns.tolist()[0] == "prediction"
    assert found["prediction"].tolist() == model.predict(X).tolist()


@pytest.mark.parametrize(
    "make",
    [
        lambda: make_pipeline(ImageScaler(), PixelRows(), Ridge()),
        lambda: make_pipeline(
            TransformedTargetRegressor(
                CNNRegressor(LAYERS, max_iter=1, random_state=0), transformer=StandardScaler()
            )
        ),
    ],
)
def test_other_pipelines_of_the_advisor(run, folder, tmp_path, make):
    mlfund.save(make().fit(X, 1.0 * BRIGHT), tmp_path / "model.skops")
    assert run("predict", "model.skops", "new", "--out", "p.csv").code == 0
    assert pd.read_csv("p.csv").columns.tolist() == ["file", "prediction"]


def test_what_does_not_fit_is_one_sentence(refused, model, folder, tmp_path):
    churn_frame().to_csv(tmp_path / "new.csv", index=False)
    message = refused("predict", "model.skops", "new.csv")
    assert "was fitted on images of 6 x 5 pixels, and new.csv is a table" in message
    np.save(tmp_path / "large.npy", np.zeros((2, 7, 7), dtype=np.uint8))
    assert "fitted on images of 6 x 5" in refused("predict", "model.skops", "large.npy")
    np.savez(tmp_path / "two.npz", a=X, b=X)
    assert "should have one array of images" in refused("predict", "model.skops", "two.npz")
    (tmp_path / "empty" / "inner").mkdir(parents=True)
    assert refused("predict", "model.skops", "empty") == "empty has no images in it."
    table = make_pipeline(Ridge()).fit(pd.DataFrame({"a": [0.0, 1.0]}), [0.0, 1.0])
    mlfund.save(table, tmp_path / "table.skops")
    assert "was not fitted on images" in refused("predict", "table.skops", "new")
