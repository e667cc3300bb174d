"""Folders of images, one a class: what is read, resized, skipped and refused."""

import sys

import numpy as np
import pytest
from PIL import Image

from mlfund import load_image_folder

RNG = np.random.default_rng(0)


def write(file, shape=(6, 5, 3), value=None):
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = RNG.integers(0, 256, shape, dtype=np.uint8) if value is None else value
    Image.fromarray(pixels).save(file)
    return pixels


@pytest.fixture
def folder(tmp_path):
    """Two classes, the second in upper case, with what lies around in real folders."""
    write(tmp_path / "dog" / "b.png")
    write(tmp_path / "dog" / "a.PNG")
    write(tmp_path / "dog" / "outside" / "c.png")
    write(tmp_path / "Cat" / "1.png")
    (tmp_path / "dog" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "dog" / "notes.txt").write_text("none")
    write(tmp_path / ".thumbnails" / "t.png")
    write(tmp_path / "__MACOSX" / "t.png")
    (tmp_path / "readme.md").write_text("dogs and cats")
    return tmp_path


def test_folders_are_classes_in_sorted_order(folder):
    data = load_image_folder(folder)
    assert data.target_names == ["Cat", "dog"]
    assert data.target.tolist() == [0, 1, 1, 1]
    assert data.filenames == ["Cat/1.png", "dog/a.PNG", "dog/b.png", "dog/outside/c.png"]
    assert data.images.shape == (4, 6, 5, 3)
    assert data.images.dtype == np.uint8
    assert data.split is None
    for image, name in zip(data.images, data.filenames, strict=True):
        np.testing.assert_array_equal(image, np.asarray(Image.open(folder / name)))


def test_grey_where_all_are_grey_and_colours_where_one_has_them(tmp_path):
    grey = write(tmp_path / "a" / "1.png", (4, 3))
    write(tmp_path / "b" / "1.png", (4, 3))
    assert load_image_folder(tmp_path).images.shape == (2, 4, 3)
    colours = load_image_folder(tmp_path, mode="RGB").images
    np.testing.assert_array_equal(colours[0], np.repeat(grey[..., None], 3, axis=-1))
    write(tmp_path / "b" / "2.png", (4, 3, 3))
    assert load_image_folder(tmp_path).images.shape == (3, 4, 3, 3)
    assert load_image_folder(tmp_path, mode="L").images.shape == (3, 4, 3)
    with pytest.raises(ValueError, match="mode='rgb' is not known"):
        load_image_folder(tmp_path, mode="rgb")


def test_files_are_read_as_they_are_meant(tmp_path):
    deep = (np.arange(12, dtype=np.uint16) * 5000).reshape(3, 4)
    write(tmp_path / "a" / "deep.png", value=deep)
    Image.new("1", (4, 3), 1).save(tmp_path / "a" / "bits.png")
    np.testing.assert_array_equal(
        load_image_folder(tmp_path).images, [np.full((3, 4), 255), deep >> 8]
    )
    palette = Image.new("P", (4, 3), 1)
    palette.putpalette([0, 0, 0, 200, 100, 50])
    palette.save(tmp_path / "a" / "palette.gif", transparency=0)
    clear = Image.new("RGBA", (4, 3), (1, 2, 3, 0))
    clear.save(tmp_path / "a" / "clear.png")
    found = load_image_folder(tmp_path)
    by_name = dict(zip(found.filenames, found.images, strict=True))
    assert by_name["a/palette.gif"][0, 0].tolist() == [200, 100, 50]
    assert by_name["a/clear.png"][0, 0].tolist() == [1, 2, 3]


def test_images_are_turned_as_the_camera_says(tmp_path):
    (tmp_path / "a").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (8, 4)).save(tmp_path / "a" / "1.jpg", exif=exif)
    assert load_image_folder(tmp_path).images.shape == (1, 8, 4)


def test_sizes_are_changed_on_request_only(folder):
    write(folder / "dog" / "z.png", (9, 5, 3))
    message = r"Cat/1.png has 6 x 5 pixels and dog/z.png has 9 x 5; say a size=\(height, width\)"
    with pytest.raises(ValueError, match=message):
        load_image_folder(folder)
    data = load_image_folder(folder, size=(4, 7))
    assert data.images.shape == (5, 4, 7, 3)
    assert load_image_folder(folder, size=3).images.shape == (5, 3, 3, 3)
    flat = np.full((6, 6), 77, dtype=np.uint8)
    write(folder / "flat" / "1.png", value=flat)
    shrunk = load_image_folder(folder, size=2, mode="L")
    assert (shrunk.images[shrunk.filenames.index("flat/1.png")] == 77).all()


@pytest.mark.parametrize("size", [0, (3,), "64", (3, -1), 2.5])
def test_sizes_that_are_none_are_refused(folder, size):
    with pytest.raises(ValueError, match="size must be"):
        load_image_folder(folder, size=size)


def test_parts_are_recognised(tmp_path):
    for part, n in (("train", 3), ("test", 2), ("val", 1)):
        for name in ("a", "b"):
            for k in range(n):
                write(tmp_path / part / name / f"{k}.png")
    data = load_image_folder(tmp_path)
    assert data.target_names == ["a", "b"]
    assert {part: int((data.split == part).sum()) for part in set(data.split)} == {
        "train": 6,
        "test": 4,
        "validation": 2,
    }
    test = load_image_folder(tmp_path, split="test")
    np.testing.assert_array_equal(test.images, data.images[data.split == "test"])
    with pytest.raises(ValueError, match=r"split='dev' is not there: .* has 'test', 'train'"):
        load_image_folder(tmp_path, split="dev")
    # One class of trains is no part.
    write(tmp_path / "other" / "x.png")
    assert load_image_folder(tmp_path).target_names == ["other", "test", "train", "val"]


def test_a_class_has_one_place_in_all_parts(tmp_path):
    for name in ("a", "b", "c"):
        write(tmp_path / "train" / name / "1.png")
    write(tmp_path / "test" / "c" / "1.png")
    test = load_image_folder(tmp_path, split="test")
    assert test.target_names == ["a", "b", "c"]
    assert test.target.tolist() == [2]


def test_parts_without_classes_are_no_classes(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / "train" / name / "1.png")
    (tmp_path / "val").mkdir()
    write(tmp_path / "train" / "overview.png")
    data = load_image_folder(tmp_path)
    assert (data.target_names, data.split.tolist()) == (["a", "b"], ["train", "train"])
    write(tmp_path / "test" / "1.png")
    with pytest.raises(ValueError, match=r"test lie side by side, .* the other part alone"):
        load_image_folder(tmp_path)
    assert load_image_folder(tmp_path / "train").target_names == ["a", "b"]


def test_some_of_many_keep_the_shares(tmp_path):
    for name, n in (("a", 40), ("b", 20), ("rare", 3)):
        for k in range(n):
            write(tmp_path / name / f"{k}.png", (2, 2))
    data = load_image_folder(tmp_path, max_images=21)
    assert np.bincount(data.target).tolist() == [13, 6, 2]
    assert data.n_found == 63
    again = load_image_folder(tmp_path, max_images=21)
    assert again.filenames == data.filenames
    assert load_image_folder(tmp_path, max_images=21, random_state=1).filenames != data.filenames
    assert len(load_image_folder(tmp_path, max_images=100).target) == 63
    assert np.bincount(load_image_folder(tmp_path, max_images=1).target).tolist() == [2, 2, 2]
    # What dividing leaves over is drawn too: no fewer than were asked for.
    assert [len(load_image_folder(tmp_path, max_images=n).target) for n in range(6, 64)] == list(
        range(6, 64)
    )
    assert np.bincount(load_image_folder(tmp_path, max_images=32).target).tolist() == [20, 10, 2]


@pytest.mark.parametrize("most", [0, -1, 2.5, "9"])
def test_numbers_of_images_that_are_none_are_refused(folder, most):
    with pytest.raises(ValueError, match="max_images"):
        load_image_folder(folder, max_images=most)


def test_what_is_no_folder_of_images_is_said(tmp_path):
    with pytest.raises(ValueError, match="is not there; give a folder"):
        load_image_folder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="has no folders with images; put"):
        load_image_folder(tmp_path)
    write(tmp_path / "1.png")
    with pytest.raises(ValueError, match="its 1 images lie side by side"):
        load_image_folder(tmp_path)
    with pytest.raises(ValueError, match="is a file, not a folder"):
        load_image_folder(tmp_path / "1.png")


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n\x00\x00"])
def test_damaged_images_are_named(folder, content):
    (folder / "dog" / "broken.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"dog/broken.png cannot be read as an image .*take it"):
        load_image_folder(folder)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_images_whose_white_is_not_known_are_named(folder, dtype):
    write(folder / "dog" / "raw.tif", value=np.full((6, 5), 0.5).astype(dtype))
    with pytest.raises(ValueError, match=r"dog/raw.tif cannot be read .*32 bits.*; save 8 or 16"):
        load_image_folder(folder)


def test_a_cut_off_image_is_named(folder):
    whole = (folder / "dog" / "b.png").read_bytes()
    (folder / "dog" / "b.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"dog/b.png cannot be read"):
        load_image_folder(folder)


def test_pillow_is_named_where_it_is_missing(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ImportError, match=r"mlfund\[images\]"):
        load_image_folder(folder)
