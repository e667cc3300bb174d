"""Folders of images, one a class: what is read, resized, skipped and refused."""

import sys
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from mlfund import load_image_folder
from mlfund.preprocessing import image_folders

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
    found = load_image_folder(tmp_path)
    by_name = dict(zip(found.filenames, found.images, strict=True))
    assert by_name["a/palette.gif"][0, 0].tolist() == [200, 100, 50]


def drawing(mode):
    """A black square at the left, half transparent in its middle, on nothing."""
    image = Image.new(mode, (6, 4), 0)
    image.paste((0, 255) if mode == "LA" else (0, 0, 0, 255), (0, 0, 2, 4))
    image.putpixel((1, 1), (0, 128) if mode == "LA" else (0, 0, 0, 128))
    return image


ON_PAPER = np.full((4, 6), 255)
ON_PAPER[:, :2] = 0
ON_PAPER[1, 1] = 127


def test_drawings_on_nothing_are_drawings_on_white(tmp_path):
    (tmp_path / "a").mkdir()
    drawing("LA").save(tmp_path / "a" / "1.png")
    np.testing.assert_array_equal(load_image_folder(tmp_path).images, ON_PAPER[None])
    drawing("RGBA").save(tmp_path / "a" / "2.png")
    drawing("RGBA").save(tmp_path / "a" / "3.webp", lossless=True)
    by_mode = {mode: load_image_folder(tmp_path, mode=mode).images for mode in ("L", "RGB")}
    np.testing.assert_array_equal(by_mode["L"], [ON_PAPER] * 3)
    np.testing.assert_array_equal(by_mode["RGB"], [np.repeat(ON_PAPER[..., None], 3, axis=-1)] * 3)


@pytest.mark.parametrize(
    ("suffix", "transparency"), [(".png", 0), (".png", b"\x00\xff"), (".gif", 0)]
)
def test_colours_of_a_palette_that_are_transparent_are_white(tmp_path, suffix, transparency):
    palette = Image.new("P", (4, 3), 0)
    palette.putpalette([0, 0, 0, 200, 100, 50])
    palette.putpixel((0, 0), 1)
    (tmp_path / "a").mkdir()
    palette.save(tmp_path / "a" / f"1{suffix}", transparency=transparency)
    (found,) = load_image_folder(tmp_path).images
    assert found[0, 0].tolist() == [200, 100, 50]
    assert (found.reshape(-1, 3)[1:] == 255).all()


@pytest.mark.parametrize(("mode", "transparency"), [("L", 0), ("RGB", (0, 0, 0)), ("1", 0)])
def test_a_colour_that_means_transparent_is_white(tmp_path, mode, transparency):
    (tmp_path / "a").mkdir()
    Image.new(mode, (4, 3)).save(tmp_path / "a" / "1.png", transparency=transparency)
    assert (load_image_folder(tmp_path).images == 255).all()


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_opaque_images_stay_as_they_are(tmp_path, mode):
    colours = RNG.integers(0, 256, (40, 30, len(mode)), dtype=np.uint8)
    colours[..., -1] = 255
    write(tmp_path / "a" / "1.png", value=colours)
    wanted = colours[..., 0] if mode == "LA" else colours[..., :3]
    np.testing.assert_array_equal(load_image_folder(tmp_path).images, wanted[None])


def test_images_of_12_bits_in_16_are_warned_of_once(tmp_path):
    deep = np.linspace(0, 4095, 12).astype(np.uint16).reshape(3, 4)
    for place in range(5):
        write(tmp_path / "a" / f"{place}.png", value=deep // (place + 1))
    write(tmp_path / "a" / "light.png", (3, 4))
    message = (
        r"with 16 bits \(5 of 6\) is 4095, nearly black on the scale of 0 to 65535 .*12 bits, "
        r"multiply these by 16 and save"
    )
    with pytest.warns(UserWarning, match=message) as caught:
        load_image_folder(tmp_path, size=2)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    # One image of all that reaches into the light says what the numbers mean.
    write(tmp_path / "a" / "5.png", value=np.full((3, 4), 60_000, dtype=np.uint16))
    load_image_folder(tmp_path)


@pytest.mark.parametrize(("largest", "said"), [(200, "8 bits, .* 256"), (300, "10 .* 64")])
def test_the_warning_names_how_many_bits_there_are(tmp_path, largest, said):
    write(tmp_path / "a" / "1.png", value=np.full((3, 4), largest, dtype=np.uint16))
    with pytest.warns(UserWarning, match=f"is {largest}, .*have {said}"):
        load_image_folder(tmp_path)


def test_black_images_of_16_bits_are_black(tmp_path):
    write(tmp_path / "a" / "1.png", value=np.zeros((3, 4), dtype=np.uint16))
    assert load_image_folder(tmp_path).images.max() == 0


def test_images_are_turned_as_the_camera_says(tmp_path):
    (tmp_path / "a").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (8, 4)).save(tmp_path / "a" / "1.jpg", exif=exif)
    assert load_image_folder(tmp_path).images.shape == (1, 8, 4)
    Image.new("L", (8, 4)).save(tmp_path / "a" / "2.tif", exif=exif, compression="tiff_lzw")
    Image.new("L", (8, 4)).save(tmp_path / "a" / "3.png", exif=exif)
    Image.new("L", (4, 8)).save(tmp_path / "a" / "4.png")
    assert load_image_folder(tmp_path).images.shape == (4, 8, 4)


def held_last(file):
    """Write a PNG file of 8 x 4 pixels that says after them how the camera was held."""
    exif = Image.Exif()
    exif[0x0112] = 6
    file.parent.mkdir(exist_ok=True)
    Image.new("L", (8, 4)).save(file, exif=exif)
    content = file.read_bytes()
    start = content.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(content[start : start + 4], "big")
    last = content.index(b"IEND") - 4
    file.write_bytes(content[:start] + content[end:last] + content[start:end] + content[last:])


def test_png_files_that_are_turned_at_their_end_are_compared_upright(tmp_path):
    held_last(tmp_path / "a" / "1.png")
    held_last(tmp_path / "a" / "2.png")
    assert load_image_folder(tmp_path).images.shape == (2, 8, 4)
    Image.new("L", (4, 8)).save(tmp_path / "a" / "3.png")
    assert load_image_folder(tmp_path).images.shape == (3, 8, 4)
    Image.new("L", (8, 4)).save(tmp_path / "a" / "0.png")
    with pytest.raises(ValueError, match=r"0.png has 4 x 8 pixels and a/3.png has 8 x 4"):
        load_image_folder(tmp_path)
    (tmp_path / "a" / "3.png").unlink()
    with pytest.raises(ValueError, match=r"0.png has 4 x 8 pixels and a/1.png has 8 x 4"):
        load_image_folder(tmp_path)


def test_sizes_are_compared_before_images_are_decoded(folder, monkeypatch):
    write(folder / "dog" / "z.png", (9, 5, 3))
    whole = (folder / "dog" / "z.png").read_bytes()
    (folder / "dog" / "z.png").write_bytes(whole[: len(whole) // 2])
    read, decoded = image_folders.read_image, []
    monkeypatch.setattr(
        image_folders, "read_image", lambda file, *rest: decoded.append(file) or read(file, *rest)
    )
    with pytest.raises(ValueError, match=r"dog/z.png has 9 x 5"):
        load_image_folder(folder)
    # Only the first, whose size counts.
    assert len(decoded) == 1


@pytest.mark.parametrize("size", [None, (500, 400)])
def test_memory_is_that_of_the_array(tmp_path, size):
    for place in range(30):
        write(tmp_path / "a" / f"{place}.png", value=np.full((500, 400, 3), place, dtype=np.uint8))
    load_image_folder(tmp_path, max_images=2)
    tracemalloc.start()
    images = load_image_folder(tmp_path, size=size).images
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.2 * images.nbytes


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


def in_classes(root, *folders):
    for folder in folders:
        for name in ("cat", "dog"):
            write(root / folder / name / "1.png", (2, 2))


@pytest.mark.parametrize(
    ("folders", "parts"),
    [
        (("train", "dev"), {"train", "validation"}),
        (("Train", "eval", "holdout"), {"train", "validation", "test"}),
        (("seg_train", "seg_test"), {"train", "test"}),
        (("train2017", "val2017"), {"train", "validation"}),
        (("training-images", "test-images", "valid"), {"train", "validation", "test"}),
    ],
)
def test_parts_have_many_names(tmp_path, folders, parts):
    in_classes(tmp_path, *folders)
    data = load_image_folder(tmp_path)
    assert data.target_names == ["cat", "dog"]
    assert set(data.split) == parts


def test_folders_beside_parts_are_refused_by_name(tmp_path):
    in_classes(tmp_path, "train", "test", "extra")
    message = (
        r"had parts, 'test', 'train' with folders of classes in them, but has 'extra' beside them; "
        r"call parts by one of 'train', 'training', .*'dev', .*, move .*, or give one part alone, "
        r"such as .*/train\.$"
    )
    with pytest.raises(ValueError, match=message):
        load_image_folder(tmp_path)
    # Who names a part has said that the folders are parts.
    data = load_image_folder(tmp_path, split="train")
    assert data.filenames == ["train/cat/1.png", "train/dog/1.png"]
    assert data.target_names == ["cat", "dog"]
    with pytest.raises(ValueError, match=r"split='extra' is not there: .* has 'test', 'train'\."):
        load_image_folder(tmp_path, split="extra")


def test_loose_images_beside_parts_are_refused_by_their_folder(tmp_path):
    in_classes(tmp_path, "seg_train", "seg_test")
    write(tmp_path / "seg_pred" / "1.png")
    with pytest.raises(ValueError, match=r"but has 'seg_pred' beside them.*seg_train\.$"):
        load_image_folder(tmp_path)


def test_folders_of_their_own_name_are_opened(tmp_path):
    in_classes(tmp_path, "seg_train/seg_train", "seg_test/seg_test")
    data = load_image_folder(tmp_path)
    assert data.target_names == ["cat", "dog"]
    assert data.filenames[0] == "seg_test/seg_test/cat/1.png"
    alone = load_image_folder(tmp_path / "seg_train")
    assert (alone.target_names, alone.split) == (["cat", "dog"], None)
    write(tmp_path / "night" / "night" / "1.png")
    assert load_image_folder(tmp_path / "night").target_names == ["night"]


def test_classes_may_be_called_as_parts_are(tmp_path):
    for name in ("car", "train"):
        write(tmp_path / name / "1.png")
    assert load_image_folder(tmp_path).target_names == ["car", "train"]
    for name in ("steam_train", "test_tube"):
        write(tmp_path / "toys" / name / "old" / "1.png")
    assert load_image_folder(tmp_path / "toys").target_names == ["steam_train", "test_tube"]


def test_parts_of_loose_images_are_no_classes(tmp_path):
    for name in ("train", "test"):
        write(tmp_path / name / "1.png")
    with pytest.raises(ValueError, match=r"of 'test', 'train' in .* side by side; .* in each part"):
        load_image_folder(tmp_path)


def test_a_part_without_classes_is_left_out_where_another_is_asked_for(tmp_path):
    in_classes(tmp_path, "train")
    write(tmp_path / "test" / "1.png")
    (tmp_path / "test" / "2.png").write_bytes(b"broken")
    data = load_image_folder(tmp_path, split="train")
    assert (data.target_names, data.split.tolist()) == (["cat", "dog"], ["train", "train"])
    with pytest.raises(ValueError, match=r"test lie side by side"):
        load_image_folder(tmp_path, split="test")


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
