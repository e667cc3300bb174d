"""The advisor on images: folders and arrays, candidates, confusion, the report."""

import base64
import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import mlfund
from mlfund import PixelRows, advise
from mlfund.advisor.candidates import IMAGE_CANDIDATES, Setting
from mlfund.advisor.image_profile import png
from mlfund.advisor.reading_images import holds_images, read_images
from mlfund.advisor.report import render_report
from mlfund.advisor.terminal import print_advice
from mlfund.augmentation import RandomShift
from mlfund.cli import main
from mlfund.preprocessing import image_folders
from tests.advisor.schema import problems

N = 90


def bars(n=N, channels=None):
    """Bars that lie or stand somewhere: what pixels one by one tell little of."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 50, (n, 9, 9), dtype=np.uint8)
    lies = rng.integers(0, 2, n)
    for image, flat, (i, j) in zip(X, lies, rng.integers(0, 5, (n, 2)), strict=True):
        image[i : i + 1 + 3 * (not flat), j : j + 1 + 3 * flat] = 255
    if channels:
        X = np.repeat(X[..., None], channels, axis=-1)
    return X, np.array(["stands", "lies"])[lies]


X, y = bars()


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "bars"
    for k, (image, label) in enumerate(zip(X, y, strict=True)):
        (root / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(root / label / f"{k}.png")
    return root


@pytest.fixture(scope="module")
def advice():
    return advise(
        X,
        pd.Series(y, name="class"),
        candidates=["prior", "logistic_regression", "cnn"],
        n_folds=2,
        random_state=0,
        isolate=False,
        data_description={"file": "bars"},
    )


def test_a_convolutional_net_is_compared_with_models_of_pixels(advice):
    assert [row.status for row in advice.rows] == ["ok"] * 3
    assert advice.recommendation.name == "cnn"
    assert "Deep learning" in advice.recommendation.deep_learning
    assert set(advice.best_estimator.predict(X[:9])) <= {"lies", "stands"}
    assert problems(advice.to_dict()) == []


def test_the_confusion_counts_every_held_out_image_once(advice):
    counts = np.array(advice.confusion["counts"])
    assert advice.confusion["labels"] == ["lies", "stands"]
    assert counts.sum(axis=1).tolist() == [int((y == name).sum()) for name in ("lies", "stands")]
    accuracy = next(row.metrics["accuracy"] for row in advice.rows if row.name == "cnn")
    assert np.trace(counts) / N == pytest.approx(accuracy)


def test_the_report_shows_examples_and_confusion(advice):
    page = render_report(advice.to_dict())
    assert "What is taken for what" in page
    assert "9 x 9 pixels, 1 channel" in page
    assert page.count("data:image/png;base64,") == 2
    assert "http" not in page.split("</style>")[1].replace("http://www.w3.org", "")


def test_the_next_step_on_the_terminal_is_for_images(advice, capsys, tmp_path):
    print_advice(advice.to_dict(), {"model": tmp_path / "model.skops"})
    out = capsys.readouterr().out
    assert f"mlfund predict {tmp_path / 'model.skops'} new-images/ --out predictions.csv" in out


def test_the_contact_sheet_holds_images_of_each_class(advice):
    sheets = advice.profile["images"]["contact_sheet"]
    assert [sheet["label"] for sheet in sheets] == ["lies", "stands"]
    for sheet in sheets:
        shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(sheet["png"]))))
        first = X[np.flatnonzero(y == sheet["label"])[0]]
        np.testing.assert_array_equal(shown[:, :9], first)
        assert shown.shape == (9, 10 * 11 - 2)


@pytest.mark.parametrize("channels", [1, 3])
def test_png_is_read_back_by_pillow(channels):
    image = np.random.default_rng(0).integers(0, 256, (5, 7, channels), dtype=np.uint8)
    found = np.asarray(Image.open(io.BytesIO(png(image)))).reshape(5, 7, channels)
    np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_every_candidate_of_images_fits_predicts_and_is_saved(task, tmp_path):
    images, _ = bars(60, channels=3)
    target = images.mean(axis=(1, 2, 3)) if task == "regression" else np.arange(60) % 3
    for one in IMAGE_CANDIDATES[task]:
        model = one.build(Setting(task, 600, images=True)).fit(images, target)
        mlfund.save(model, tmp_path / "model.skops")
        again = mlfund.load(tmp_path / "model.skops")
        np.testing.assert_allclose(again.predict(images[:5]), model.predict(images[:5]))


def test_the_net_moves_images_by_a_share_of_their_side():
    cnn = next(one for one in IMAGE_CANDIDATES["classification"] if one.name == "cnn")
    for side, pixels in ((14, 1), (42, 3)):
        images = np.zeros((40, side, side), dtype=np.uint8)
        images[::2, 3:6] = 200
        model = cnn.build(Setting("classification", 600, images=True))
        net = model.fit(images, np.arange(40) % 2)[-1]
        assert net.settings_["augmentation"] == [RandomShift(pixels)]


def test_twins_across_folds_are_found():
    twice = np.concatenate([X, X[:40]])
    found = advise(
        twice, np.append(y, y[:40]), candidates=["prior"], n_folds=2, random_state=0, isolate=False
    )
    assert [finding["code"] for finding in found.leakage] == ["duplicates"]
    assert found.profile["duplicated_rows"] == 40


def test_images_that_are_all_the_same_are_refused():
    with pytest.raises(ValueError, match="All images are the same"):
        advise(np.zeros((20, 4, 4)), np.arange(20) % 2, isolate=False)


# Reading


def test_folders_and_arrays_are_the_same_images(folder, tmp_path):
    np.savez(tmp_path / "bars.npz", images=X, labels=y, sizes=np.zeros(3))
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", y)
    from_folder = read_images(folder)
    order = np.lexsort((np.arange(N).astype(str), y))
    np.testing.assert_array_equal(from_folder.images, X[order])
    np.testing.assert_array_equal(from_folder.labels, y[order])
    assert from_folder.labels.name == "class"
    assert from_folder.notes == ()
    for found in (
        read_images(tmp_path / "bars.npz"),
        read_images(tmp_path / "X.npy", target=str(tmp_path / "y.npy")),
    ):
        np.testing.assert_array_equal(found.images, X)
        np.testing.assert_array_equal(found.labels, y)
    assert holds_images(folder)
    assert holds_images(tmp_path / "X.npy")
    assert not holds_images(tmp_path / "table.csv")
    with pytest.raises(ValueError, match="images lie side by side; put the images of each class"):
        read_images(folder / "lies")


def test_training_parts_come_first(folder, tmp_path):
    both = tmp_path / "both"
    both.mkdir()
    folder.rename(both / "train")
    (both / "test" / "lies").mkdir(parents=True)
    Image.fromarray(X[0]).save(both / "test" / "lies" / "x.png")
    found = read_images(both)
    assert len(found.labels) == N
    assert "images in test were left out" in found.notes[0]
    np.savez(tmp_path / "m.npz", x_train=X, y_train=y[:, None], x_test=X[:5], y_test=y[:5])
    found = read_images(tmp_path / "m.npz")
    np.testing.assert_array_equal(found.labels, y)
    assert found.labels.name == "y_train"
    assert found.notes == ("The images 'x_test' were left out.",)


@pytest.mark.parametrize("has_classes", [True, False])
def test_only_the_training_part_is_read_and_once(folder, tmp_path, monkeypatch, has_classes):
    both = tmp_path / "both"
    both.mkdir()
    folder.rename(both / "train")
    left_out = both / "test" / "lies" if has_classes else both / "test"
    left_out.mkdir(parents=True)
    (left_out / "x.png").write_bytes(b"broken")
    read, decoded = image_folders.read_image, []
    monkeypatch.setattr(
        image_folders, "read_image", lambda file, *rest: decoded.append(file) or read(file, *rest)
    )
    found = read_images(both, size=(9, 9))
    assert len(found.labels) == N == len(decoded)
    assert found.notes == ("The images in test were left out; score the model on them at the end.",)


def test_folders_beside_parts_are_refused(folder, tmp_path, capsys):
    both = tmp_path / "both"
    both.mkdir()
    folder.rename(both / "train")
    (both / "more").mkdir()
    Image.fromarray(X[0]).save(both / "more" / "x.png")
    assert main(["advise", str(both)]) == 2
    error = capsys.readouterr().err
    assert "but has 'more' beside them" in error
    assert f"such as {both / 'train'}." in error


def test_channels_in_front_are_told_what_to_save(tmp_path):
    first = np.zeros((6, 3, 9, 9), dtype=np.uint8)
    np.savez(tmp_path / "a.NPZ.npz", X=first, y=np.arange(6))
    (tmp_path / "a.NPZ.npz").rename(tmp_path / "a.NPZ")
    np.save(tmp_path / "X.npy", first)
    np.save(tmp_path / "y.npy", np.arange(6))
    for name, target in (("a.NPZ", None), ("X.npy", str(tmp_path / "y.npy"))):
        with pytest.raises(ValueError, match=r"9 channels of 3 pixels; .*transpose\(0, 2, 3, 1\)"):
            read_images(tmp_path / name, target=target)


def test_big_sets_are_drawn_from(folder, tmp_path):
    np.savez(tmp_path / "bars.npz", images=X, labels=y)
    for source in (folder, tmp_path / "bars.npz"):
        found = read_images(source, max_images=30)
        assert 28 <= len(found.images) == len(found.labels) <= 30
        assert "of 90 images were drawn" in found.notes[0]
        again = read_images(source, max_images=30)
        np.testing.assert_array_equal(found.images, again.images)


@pytest.mark.parametrize(
    ("arrays", "target", "message"),
    [
        ({"X": X.reshape(N, -1), "y": y}, None, r"no array of images.*'X' of shape \(90, 81\)"),
        ({"X": X}, None, "no array of 90 labels for its images 'X'.*name one with --target"),
        ({"X": X, "a": y, "b": y}, None, "several arrays of 90 labels"),
        ({"X": X, "labels": y}, "label", "no array 'label'; did you mean 'labels'"),
        ({"X": X, "y": y[:9]}, "y", r"There are 90 images, and 'y' has shape \(9,\)"),
    ],
)
def test_files_of_other_arrays_are_refused(tmp_path, arrays, target, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        read_images(tmp_path / "a.npz", target=target)


def test_other_files_are_refused(folder, tmp_path):
    (tmp_path / "no.npz").write_bytes(b"zip?")
    with pytest.raises(ValueError, match=r"no.npz cannot be read as arrays of numbers"):
        read_images(tmp_path / "no.npz")
    with pytest.raises(ValueError, match=r"There is no file .*none.npy"):
        read_images(tmp_path / "none.npy")
    np.save(tmp_path / "X.npy", X)
    with pytest.raises(ValueError, match=r"--target LABELS.npy"):
        read_images(tmp_path / "X.npy")
    np.save(tmp_path / "o.npy", np.array([{}], dtype=object))
    with pytest.raises(ValueError, match=r"o.npy cannot be read as arrays of numbers"):
        read_images(tmp_path / "o.npy")
    with pytest.raises(ValueError, match="leave --target out"):
        read_images(folder, target="class")


# The command line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--target", "class"], "leave --target out"),
        (["--ignore", "lies"], "--ignore is for tables"),
        (["--image-size", "big"], "must be HEIGHTxWIDTH in pixels, got 'big'"),
        (["--positive", "stand"], "did you mean 'stands'"),
    ],
)
def test_options_that_do_not_fit_images_are_one_sentence(folder, capsys, options, message):
    assert main(["advise", str(folder), *options]) == 2
    assert message in capsys.readouterr().err


def test_ragged_images_name_the_option(folder, capsys):
    Image.new("L", (4, 4)).save(folder / "lies" / "zz.png")
    assert main(["advise", str(folder)]) == 2
    error = capsys.readouterr().err
    assert "zz.png has 4 x 4; give --image-size HxW to resize them to." in error


def test_folders_without_images_are_told_as_such(tmp_path, capsys):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    assert main(["advise", str(tmp_path)]) == 2
    assert f"{tmp_path} has no folders with images" in capsys.readouterr().err
    assert main(["advise", str(tmp_path), "--target", "b"]) == 2
    assert "or name one file of it if you mean a table" in capsys.readouterr().err


def test_tables_refuse_options_of_images(tmp_path, capsys):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    code = main(["advise", str(tmp_path / "t.csv"), "--target", "b", "--max-images", "50"])
    assert code == 2
    assert "--max-images is for images" in capsys.readouterr().err


# Pixels as columns


def test_pixel_rows_are_means_of_squares():
    images = np.arange(2 * 5 * 7 * 3, dtype=np.uint8).reshape(2, 5, 7, 3)
    np.testing.assert_array_equal(PixelRows().fit_transform(images), images.reshape(2, -1))
    found = PixelRows(max_values=20).fit_transform(images)
    expected = [
        [
            images[n, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean(axis=(0, 1))
            for i in (0, 1)
            for j in (0, 1, 2)
        ]
        for n in (0, 1)
    ]
    np.testing.assert_allclose(found, np.reshape(expected, (2, -1)), rtol=1e-6)
    flat = PixelRows(20, image_shape=(5, 7, 3)).fit_transform(images.reshape(2, -1))
    np.testing.assert_array_equal(flat, found)
    with pytest.raises(ValueError, match="fitted on images of 5 x 7 pixels"):
        PixelRows().fit(images).transform(images[:, :4])
    with pytest.raises(ValueError, match="allow more"):
        PixelRows(2).fit(images)
