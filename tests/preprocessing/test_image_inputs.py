"""Images in every form that people have them in: the same pixels, or one clear sentence."""

import io
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from mlfund._check import DataError
from mlfund.preprocessing import image_inputs
from mlfund.preprocessing.image_inputs import given_images, image_keys, image_rows

RNG = np.random.default_rng(0)
COLOURED = RNG.integers(0, 256, (5, 12, 10, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (5, 12, 10), dtype=np.uint8)
SIZE = (12, 10)


def as_rows(images):
    """Rows of bytes of images that have the right size and colours already."""
    return np.asarray(images).reshape(len(images), -1)


def jpeg(pixels, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", **options)
    return file.getvalue()


@pytest.fixture
def files(tmp_path):
    """Paths of the five coloured images."""
    paths = [tmp_path / f"{k}.png" for k in range(5)]
    for path, image in zip(paths, COLOURED, strict=True):
        Image.fromarray(image).save(path)
    return paths


def photograph(height, width):
    """An image as smooth as photographs are, with edges."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    waves = [np.sin(7 * x + 3 * k * y) + np.cos(11 * y * x + k) for k in range(3)]
    pixels = 128 + 50 * np.stack(waves, axis=-1)
    pixels[(x - 0.5) ** 2 + (y - 0.4) ** 2 < 0.05] *= 0.4
    return pixels.clip(0, 255).astype(np.uint8)


def forms(tmp_path, files):
    """The five coloured images in all the ways that they can be given."""
    pictures = [Image.fromarray(image) for image in COLOURED]
    paths = [str(path) for path in files]
    objects = np.empty(5, dtype=object)
    objects[:] = list(COLOURED)
    alpha = np.concatenate([COLOURED, np.full((5, 12, 10, 1), 255, dtype=np.uint8)], axis=-1)
    return {
        "uint8": COLOURED,
        "int64": COLOURED.astype(np.int64),
        "float64 0-255": COLOURED.astype(np.float64),
        "float32 0-1": (COLOURED / 255).astype(np.float32),
        "float16 0-255": COLOURED.astype(np.float16),
        "uint16": COLOURED.astype(np.uint16) * 257,
        "alpha": alpha,
        "tensor": torch.from_numpy(COLOURED),
        "list of arrays": list(COLOURED),
        "list of tensors": [torch.from_numpy(image) for image in COLOURED],
        "nested lists": COLOURED.tolist(),
        "array of arrays": objects,
        "pictures": pictures,
        "pictures with alpha": [Image.fromarray(image) for image in alpha],
        "Series of pictures": pd.Series(pictures, index=list("abcde")),
        "opened files": [Image.open(path) for path in paths],
        "paths": files,
        "strings": paths,
        "array of strings": np.array(paths),
        "column of an array": np.array(paths, dtype=object)[:, None],
        "Series": pd.Series(paths, name="photo"),
        "string dtype": pd.Series(paths, dtype="string"),
        "column": pd.DataFrame({"photo": files}),
        "bytes": [path.read_bytes() for path in files],
    }


def test_all_forms_give_the_same_rows(tmp_path, files):
    for name, X in forms(tmp_path, files).items():
        rows = image_rows(X, SIZE)
        assert rows.dtype == np.uint8, name
        np.testing.assert_array_equal(rows, as_rows(COLOURED), err_msg=name)
    first = COLOURED.transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(image_rows(first, SIZE, channels="first"), as_rows(COLOURED))
    np.testing.assert_array_equal(
        image_rows(list(first), SIZE, channels="first"), as_rows(COLOURED)
    )
    flat = image_rows(pd.DataFrame(as_rows(COLOURED)), SIZE, image_shape=(12, 10, 3))
    np.testing.assert_array_equal(flat, as_rows(COLOURED))


def test_transparent_files_and_pictures_are_put_on_white(tmp_path):
    clear = np.zeros((12, 10, 4), dtype=np.uint8)
    clear[:, :5, 3] = 255
    picture = Image.fromarray(clear)
    picture.save(tmp_path / "clear.png")
    for X in ([picture], [tmp_path / "clear.png"], [(tmp_path / "clear.png").read_bytes()]):
        found = image_rows(X, SIZE).reshape((*SIZE, 3))
        assert (found[:, :5] == 0).all()
        assert (found[:, 5:] == 255).all()


def test_grey_images_get_three_equal_channels(tmp_path):
    Image.fromarray(GREY[0]).save(tmp_path / "grey.png")
    wanted = as_rows(np.repeat(GREY[..., None], 3, axis=-1))
    opaque = np.stack([GREY, GREY // 2], axis=-1)
    for X in (GREY, GREY[..., None], GREY / 255, opaque, [Image.fromarray(g) for g in GREY]):
        np.testing.assert_array_equal(image_rows(X, SIZE), wanted)
    np.testing.assert_array_equal(image_rows([tmp_path / "grey.png"], SIZE), wanted[:1])
    np.testing.assert_array_equal(
        image_rows([GREY[0], COLOURED[0]], SIZE), [wanted[0], COLOURED[0].ravel()]
    )


def test_black_and_white_and_16_bits(tmp_path):
    bits = GREY > 128
    np.testing.assert_array_equal(image_rows(bits, SIZE)[:, ::3], as_rows(bits) * 255)
    deep = RNG.integers(0, 65536, (2, 12, 10), dtype=np.uint16)
    np.testing.assert_array_equal(image_rows(deep, SIZE)[:, ::3], as_rows(deep >> 8))
    Image.fromarray(deep[0]).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(
        image_rows([tmp_path / "deep.png"], SIZE), image_rows(deep[:1], SIZE)
    )
    few = GREY.astype(np.int64)
    np.testing.assert_array_equal(image_rows(few, SIZE), image_rows(GREY, SIZE))


def test_the_unit_of_integers_is_that_of_their_dtype():
    deep = np.stack([np.full((12, 10), 65535), np.full((12, 10), 200)]).astype(np.uint16)
    both = image_rows(deep, SIZE)
    with pytest.warns(UserWarning, match=r"pixel of X is 200, .*65535.*X\.astype\(np\.uint8\)"):
        alone = image_rows(deep[1:], SIZE)
    np.testing.assert_array_equal(alone, both[1:])
    assert (both[0].min(), alone.max()) == (255, 0)


def test_the_unit_of_floats_is_that_of_all_images():
    dark = np.full((12, 10), 0.4)
    light = np.full((8, 9), 200.0)
    assert image_rows([dark, light], SIZE)[0].max() == 0
    assert image_rows([dark], SIZE)[0].max() == 102
    both = np.stack([dark, np.full((12, 10), 200.0)])
    read = given_images(both)
    assert read.rows(SIZE, places=[0]).max() == 0
    # Bicubic enlargement by others overshoots white.
    assert image_rows(np.full((1, 12, 10), 1.004), SIZE).min() == 255


@pytest.mark.parametrize("low", [-0.5, -3.0])
def test_standardised_pixels_are_refused(low):
    X = np.linspace(low, 2.5, 240).reshape(2, 12, 10)
    with pytest.raises(DataError, match=r"float64 pixels from .* to 2\.5; .* do not standardise"):
        image_rows(X, SIZE)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_pixels_that_are_not_finite_are_refused(bad):
    X = GREY / 255
    X[3, 2, 1] = bad
    with pytest.raises(DataError, match="NaN or infinite"):
        image_rows(X, SIZE)


def test_pixels_in_another_unit_are_warned_of():
    with pytest.warns(UserWarning, match="largest pixel of X is 16, nearly black"):
        image_rows(np.linspace(0, 16, 120).reshape(1, 12, 10), SIZE)
    image_rows(np.zeros((1, 12, 10)), SIZE)


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [(5, 7), (31, 40), np.int64(9)])
def test_resizing_is_that_of_pillow(tmp_path, interpolation, size):
    # Neither black nor white: between rows and columns, of which Pillow takes now these and now
    # those first, both cut off what bicubic filters make darker and lighter than these.
    images = COLOURED // 2 + 64
    paths = [tmp_path / f"{k}.png" for k in range(5)]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    sides = (size, size) if np.ndim(size) == 0 else size
    method = Image.Resampling[interpolation.upper()]
    wanted = [np.asarray(Image.fromarray(image).resize(sides[::-1], method)) for image in images]
    for X in (images, paths):
        rows = image_rows(X, size, interpolation=interpolation)
        assert abs(rows.astype(int) - as_rows(wanted)).max() <= 2


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 300), (300, 1, 3), (7, 5)])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (40, 2)])
def test_narrow_images_are_resized(shape, size):
    image = np.full(shape, 77, dtype=np.uint8)
    assert (image_rows([image], size) == 77).all()


def test_resizing_is_antialiased():
    stripes = np.zeros((1, 64, 64), dtype=np.uint8)
    stripes[:, :, ::2] = 255
    small = image_rows(stripes, 8).astype(int)
    assert abs(small - 127).max() <= 8
    torch_small = torch.nn.functional.interpolate(
        torch.from_numpy(COLOURED).permute(0, 3, 1, 2).float(), (6, 5), mode="bicubic",
        antialias=True,
    )  # fmt: skip
    torch_small = torch_small.permute(0, 2, 3, 1).clamp(0, 255).numpy()
    difference = image_rows(COLOURED, (6, 5)).astype(float) - as_rows(torch_small)
    assert abs(difference).max() <= 1


def test_large_photographs_are_decoded_in_part_and_look_the_same(monkeypatch):
    pixels = photograph(700, 900)
    content = jpeg(pixels, quality=92)
    whole = Image.open(io.BytesIO(content)).resize((64, 64), Image.Resampling.BICUBIC)
    decoded = []
    read = image_inputs.read_image
    monkeypatch.setattr(
        image_inputs,
        "read_image",
        lambda *given: decoded.append(read(*given)) or decoded[-1],
    )
    row = image_rows([content], 64)
    assert decoded[0].size == (225, 175)
    difference = abs(row.astype(float) - np.asarray(whole, dtype=float).ravel())
    assert difference.mean() < 1
    assert difference.max() < 16
    # Not below twice the sides that are wanted.
    image_rows([content], 400)
    assert decoded[1].size == (900, 700)


def test_images_are_turned_as_the_camera_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = photograph(40, 60)
    content = jpeg(pixels, exif=exif, quality=95, subsampling=0)
    (tmp_path / "turned.jpg").write_bytes(content)
    upright = np.rot90(pixels, -1)
    picture = Image.open(tmp_path / "turned.jpg")
    for X in ([content], [tmp_path / "turned.jpg"], [picture]):
        row = image_rows(X, (60, 40)).astype(float)
        assert abs(row - upright.ravel()).mean() < 4
    assert image_keys([content]) == image_keys([tmp_path / "turned.jpg"])


def test_rows_of_some_places(files):
    for X in (COLOURED, files):
        read = given_images(X)
        assert len(read) == 5
        np.testing.assert_array_equal(
            read.rows(SIZE, places=np.array([3, 1])), as_rows(COLOURED[[3, 1]])
        )
        assert read.rows(SIZE, places=[]).shape == (0, 360)


@settings(max_examples=30, deadline=None)
@given(
    images=hnp.arrays(np.uint8, st.tuples(st.integers(1, 40), st.just(9), st.just(7))),
    n_jobs=st.sampled_from([1, 2, 3]),
)
def test_threads_change_nothing(images, n_jobs):
    alone = image_rows(images, (5, 6), n_jobs=1)
    np.testing.assert_array_equal(image_rows(images, (5, 6), n_jobs=n_jobs), alone)
    one_by_one = np.concatenate([image_rows(image[None], (5, 6)) for image in images])
    np.testing.assert_array_equal(alone, one_by_one)


def test_several_threads_read(monkeypatch):
    images = np.zeros((200, 9, 7), dtype=np.uint8)
    seen = set()
    both = threading.Barrier(2, timeout=20)
    resized = image_inputs._resized

    def watched(*given):
        if threading.get_ident() not in seen:
            seen.add(threading.get_ident())
            both.wait()
        return resized(*given)

    monkeypatch.setattr(image_inputs, "_resized", watched)
    image_rows(images, 4, n_jobs=2)
    assert len(seen) == 2
    assert threading.get_ident() not in seen


@pytest.mark.parametrize("n_jobs", [0, 1.5, "2", True])
def test_numbers_of_threads_that_are_none_are_refused(n_jobs):
    with pytest.raises(ValueError, match="n_jobs must be an integer other than 0"):
        image_rows(GREY, 4, n_jobs=n_jobs)


def test_keys_are_those_of_content(tmp_path, files):
    keys = image_keys(files)
    assert len(set(keys)) == 5
    assert {len(key) for key in keys} == {16}
    copied = tmp_path / "deep" / "other.jpeg"
    copied.parent.mkdir()
    copied.write_bytes(files[2].read_bytes())
    assert image_keys([copied]) == [keys[2]]
    assert image_keys([path.read_bytes() for path in files]) == keys
    files[2].write_bytes(files[3].read_bytes())
    assert image_keys(files) == [keys[k] for k in (0, 1, 3, 3, 4)]


def test_keys_of_pixels_are_those_of_any_dtype_and_layout():
    keys = image_keys(COLOURED)
    assert len(set(keys)) == 5
    for X in (
        COLOURED / 255,
        COLOURED.astype(np.uint16) * 257,
        np.asfortranarray(COLOURED),
        list(COLOURED),
        [Image.fromarray(image) for image in COLOURED],
    ):
        assert image_keys(X) == keys
    assert image_keys(COLOURED.transpose(0, 3, 1, 2), channels="first") == keys
    assert image_keys(COLOURED[[4, 0]]) == [keys[4], keys[0]]
    # The same bytes in another shape are another image.
    assert image_keys(COLOURED.reshape(5, 10, 12, 3))[0] != keys[0]
    # Pinned: stored embeddings are found again by later versions.
    pinned = image_keys(np.arange(12, dtype=np.uint8).reshape(1, 2, 6))[0].hex()
    assert pinned == "81898b8a9c4a8e2be24622fb63da9555"


@settings(max_examples=40, deadline=None)
@given(
    image=hnp.arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(5, 8), st.just(3))),
    data=st.data(),
)
def test_one_changed_pixel_is_another_image(image, data):
    place = tuple(data.draw(st.integers(0, side - 1)) for side in image.shape)
    changed = image.copy()
    changed[place] ^= 1 << data.draw(st.integers(0, 7))
    assert image_keys([image]) != image_keys([changed])
    assert image_keys([image]) == image_keys([image.copy()])


def test_the_same_picture_twice_is_read_once_at_a_time(files):
    picture = Image.open(files[0])
    rows = image_rows([picture] * 100, SIZE, n_jobs=4)
    np.testing.assert_array_equal(rows, np.repeat(as_rows(COLOURED[:1]), 100, axis=0))


def test_what_was_given_is_left_as_it_was(files):
    arrays = COLOURED.copy()
    picture = Image.open(files[0])
    info = dict(picture.info)
    given_images(arrays).rows(4)
    given_images([picture]).rows(4)
    np.testing.assert_array_equal(arrays, COLOURED)
    assert picture.size == (10, 12)
    assert picture.info == info


ONE = Image.new("RGB", (10, 12))
REFUSED = {
    "mixed": (["a.png", ONE], r"X mixes kinds: row 0 is a path and row 1 is an image of Pillow"),
    "mixed arrays": ([GREY[0], "a.png"], r"row 0 is an array and row 1 is a path"),
    "None": ([ONE, None], r"Row 1 of X is None, a missing value; leave the row out"),
    "nan": (["a.png", float("nan")], r"Row 1 of X is nan, a missing value"),
    "NA": (pd.Series(["a.png", pd.NA], dtype="string"), r"Row 1 of X is <NA>, a missing value"),
    "number": ([3], r"Row 0 of X is a int; images are arrays"),
    "numbers": (pd.Series([1.0, 2.0]), r"Row 0 of X is a float; images are arrays"),
    "one path": ("a.png", r"X is a path; give a list of them, \[X\] for one"),
    "one Path": (Path("a.png"), r"X is a path; give a list"),
    "one picture": (ONE, r"X is an image of Pillow; give a list"),
    "one image": (COLOURED[0], r"X has shape \(12, 10, 3\), that of one image; give X\[None\]"),
    "columns": (pd.DataFrame({"a": ["x"], "b": ["y"]}), r"X has 2 columns \('a', 'b'\); give the"),
    "empty": ([], r"X is empty: there are no images"),
    "no rows": (np.zeros((0, 8, 8)), r"X has shape \(0, 8, 8\): there are no pixels"),
    "no pixels": ([np.zeros((0, 8))], r"there are no pixels"),
    "flattened": (np.zeros((4, 64)), r"X has shape \(4, 64\); .* Say image_shape=\(height, "),
    "flattened in a list": ([np.zeros(64)], r"Row 0 of X has shape \(64,\); give each image"),
    "five axes": (np.zeros((1, 2, 8, 8, 3)), r"X has 5 axes"),
    "other layout": (np.zeros((2, 3, 9, 9)), r"give channels='first'"),
    "other layout in a list": ([np.zeros((3, 9, 9))], r"give channels='first'"),
    "many channels": (np.zeros((2, 9, 9, 7)), r"9 x 9 pixels and 7 channels; give 1 \(grey\), 3"),
    "complex": (np.zeros((2, 9, 9), dtype=complex), r"X holds complex128 values"),
    "large integers": (np.full((1, 9, 9), 3000), r"int64 pixels from 3000 to 3000; give uint8"),
    "negative integers": (np.full((1, 9, 9), -7), r"int64 pixels from -7 to -7"),
    "objects": (np.full((2, 9, 9), None), r"X is an array of object with shape \(2, 9, 9\)"),
    "mapping": ({"a.png": 1}, r"X is a dict; images are arrays"),
    "generator": ((x for x in "ab"), r"X is a generator; images are arrays"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_image_is_refused_in_a_sentence(name):
    X, message = REFUSED[name]
    with pytest.raises(DataError, match=message) as caught:
        image_rows(X, SIZE)
    assert len(str(caught.value)) < 300
    assert str(caught.value).endswith(".")


def test_options_that_are_none_are_refused(files):
    with pytest.raises(ValueError, match="channels='left' is not known"):
        image_rows(GREY, SIZE, channels="left")
    with pytest.raises(ValueError, match="interpolation='cubic' is not known"):
        image_rows(GREY, SIZE, interpolation="cubic")
    with pytest.raises(ValueError, match="size must be"):
        image_rows(GREY, (3, 3, 3))
    with pytest.raises(ValueError, match=r"image_shape=\(12, 10\) is for flattened rows"):
        image_rows(files, SIZE, image_shape=(12, 10))


def test_files_that_are_missing_are_named_before_any_is_read(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = [str(path) for path in files]
    with pytest.raises(DataError, match=r"gone.png \(row 1 of X\) is not there\.$"):
        given_images([paths[0], str(tmp_path / "gone.png")])
    with pytest.raises(
        DataError,
        match=r"gone.png \(row 0 of X\) is not there, nor are 2 others; paths are looked up from /",
    ):
        given_images(["gone.png", "2.png", "gone.jpg", "gone.png"])
    with pytest.raises(DataError, match=r"\(row 1 of X\) is a folder; give the images in it"):
        given_images([paths[0], str(tmp_path)])


def test_texts_for_a_backbone_of_images_are_told_where_they_belong(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hint = "; strings are taken for paths of images, and texts need backbone='all-MiniLM-L6-v2'"
    with pytest.raises(DataError, match=rf"^A gem\. \(row 0 of X\) is not there.*{hint}"):
        given_images(["A gem.", "Too long, and not funny."])
    with pytest.raises(DataError, match=hint) as raised:
        given_images(["A long film. " * 1000])
    assert len(str(raised.value)) < 500
    for paths in (["1.png", "2.jpeg"], [Path("1")], ["1.png", "a"]):
        with pytest.raises(DataError, match="is not there") as raised:
            given_images(paths)
        assert "texts need" not in str(raised.value)


@pytest.mark.parametrize("form", ["array", "list"])
@pytest.mark.parametrize("channels", ["first", "last"])
def test_channels_at_the_other_end_are_told_what_to_give(form, channels):
    shape = (4, 32, 32, 3) if channels == "first" else (4, 3, 32, 32)
    X = np.zeros(shape) if form == "array" else list(np.zeros(shape))
    opposite = "last" if channels == "first" else "first"
    with pytest.raises(DataError, match=f"32 channels of 3 pix.*; give channels='{opposite}'\\.$"):
        given_images(X, channels=channels)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n\x00\x00"])
def test_damaged_images_are_named(files, content):
    files[3].write_bytes(content)
    with pytest.raises(DataError, match=r"3.png \(row 3 of X\) cannot be read as an image .*leave"):
        image_rows(files, SIZE)
    with pytest.raises(DataError, match=r"Row 1 of X cannot be read as an image"):
        image_rows([files[0].read_bytes(), content], SIZE)
    assert len(image_keys(files)) == 5


def test_images_that_were_cut_off_are_named(files):
    whole = files[3].read_bytes()
    picture = Image.open(io.BytesIO(whole[: len(whole) // 2]))
    with pytest.raises(DataError, match=r"row 1 of X cannot be read \(.*\); repair it"):
        image_rows([Image.open(files[0]), picture], SIZE)
    files[3].write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"3.png \(row 3 of X\) cannot be read"):
        image_rows(files, SIZE)


def test_pillow_is_needed_only_where_it_works(files, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    np.testing.assert_array_equal(image_rows(COLOURED, SIZE), as_rows(COLOURED))
    assert len(image_keys(GREY)) == 5
    assert image_rows(COLOURED, 4).shape == (5, 48)
    with pytest.raises(ImportError, match=r"mlfund\[images\]"):
        image_rows(files, SIZE)


def test_memory_is_that_of_the_rows(tmp_path):
    """Pixels are let go once they are in their row; 40 times 0.7 MB would be kept."""
    import tracemalloc

    content = jpeg(photograph(600, 600))
    read = given_images([content] * 40)
    read.rows(490, places=[0])
    tracemalloc.start()
    rows = read.rows(490, n_jobs=2)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < rows.nbytes + 12e6
