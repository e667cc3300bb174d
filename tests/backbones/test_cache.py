"""EmbeddingCache: each row once, kept exactly, whoever else writes, whatever breaks."""

import copy
import os
import pickle
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from mlfund.backbones import _cache, _cache_files
from mlfund.backbones._cache import EmbeddingCache, get_store
from mlfund.backbones._cache_files import EmbeddingCacheWarning, RowFolder
from mlfund.backbones._cache_memory import MemoryRows
from mlfund.backbones._cache_store import Space, Store

SPACE = Space("tiny", "0f" * 16, ("8 x 8",))
WIDTH = 5


def keys_of(numbers):
    return [int(number).to_bytes(16, "little") for number in numbers]


def embedding(numbers):
    """A row for each number, with digits in every bit of the mantissa."""
    numbers = np.asarray(numbers, dtype=np.float64)[:, None]
    return np.sin(numbers * 12.9898 + np.arange(WIDTH)).astype(np.float32)


class Backbone:
    """Remembers which rows it was asked for."""

    def __init__(self, numbers):
        self.numbers = list(numbers)
        self.computed = []

    def __call__(self, places):
        asked = [self.numbers[place] for place in places]
        self.computed += asked
        return embedding(asked)


def ask(store, numbers, *, space=SPACE, block_rows=7):
    """Rows of a store (a cache, or None), and the numbers that had to be computed."""
    backbone = Backbone(numbers)
    store = store._store if isinstance(store, EmbeddingCache) else store
    rows = store.get_or_compute(
        space, keys_of(numbers), backbone, block_rows, lambda done, total: None
    )
    np.testing.assert_array_equal(rows, embedding(numbers))
    assert rows.dtype == np.float32
    return backbone.computed


def fresh(cache):
    """The cache as another process finds it: files alone."""
    return Store(cache.path, cache.max_bytes, cache.memory_bytes)


@pytest.fixture
def cache(tmp_path):
    return EmbeddingCache(tmp_path / "cache")


def row_files(cache):
    return sorted(cache.path.glob("*/*.rows"))


def test_each_row_is_computed_once(cache):
    assert ask(cache, [3, 1, 2, 1, 3]) == [3, 1, 2]
    assert ask(cache, [2, 4, 3]) == [4]
    assert ask(cache, [4, 4, 1]) == []
    assert (cache.info().n_found, cache.info().n_computed) == (2 + 2, 3 + 1)


def test_files_alone_give_the_same_rows(cache):
    ask(cache, range(40))
    assert ask(fresh(cache), [39, 5, 5, 17, 41]) == [41]


def test_without_a_cache_equal_rows_are_computed_once():
    assert ask(get_store(False), [1, 1, 2]) == [1, 2]
    assert ask(get_store(False), [1, 1, 2]) == [1, 2]


def test_other_backbones_and_readings_are_other_rows(cache):
    ask(cache, [1])
    assert ask(cache, [1], space=Space("tiny", "0f" * 16, ("9 x 9",))) == [1]
    assert ask(cache, [1], space=Space("tiny", "0e" * 16, ("8 x 8",))) == [1]
    # The name is for persons.
    assert ask(cache, [1], space=Space("renamed", "0f" * 16, ("8 x 8",))) == []


def test_what_is_done_is_kept_when_the_rest_fails(cache):
    def fails_late(places):
        if 20 in places:
            raise KeyboardInterrupt
        return embedding(places)

    with pytest.raises(KeyboardInterrupt):
        cache.get_or_compute(SPACE, keys_of(range(30)), fails_late, block_rows=6)
    assert ask(fresh(cache), range(30)) == list(range(18, 30))


def test_copies_share_and_pickles_are_small(cache):
    ask(cache, [1, 2])
    assert clone(cache, safe=False) is cache
    for other in (copy.deepcopy(cache), pickle.loads(pickle.dumps(cache))):
        assert other == cache
        assert other._store is cache._store
    assert len(pickle.dumps(cache)) < 400


def test_single_rows_do_not_pile_up_files(cache):
    for number in range(150):
        ask(cache, [number])
    assert len(row_files(cache)) < 2 * _cache_files.MOST_SMALL
    assert ask(fresh(cache), range(150)) == []
    assert cache.info().n_rows == 150


def test_the_oldest_files_go_when_the_limit_is_reached(tmp_path):
    n_bytes = 16 + 50 * (16 + 4 + 4 * WIDTH)
    cache = EmbeddingCache(tmp_path, max_bytes=3 * n_bytes, memory_bytes=0)
    for start in (0, 100, 200):
        ask(cache, range(start, start + 50), block_rows=50)
    assert cache.info().n_bytes == 3 * n_bytes
    for age, path in enumerate(sorted(row_files(cache), key=lambda path: path.stat().st_mtime)):
        os.utime(path, (time.time() - 1000 + age,) * 2)
    ask(fresh(cache), range(0, 50))  # used: now the youngest
    with pytest.warns(EmbeddingCacheWarning, match="max_bytes"):
        ask(cache, range(300, 350), block_rows=50)
    assert cache.info().n_bytes == 3 * n_bytes
    computed = {start: ask(fresh(cache), [start]) for start in (0, 200, 300, 100)}
    assert computed == {0: [], 200: [], 300: [], 100: [100]}


def test_more_rows_than_the_cache_holds_are_all_right(tmp_path):
    cache = EmbeddingCache(tmp_path, max_bytes=1000, memory_bytes=200)
    with pytest.warns(EmbeddingCacheWarning, match="take more than"):
        ask(cache, range(300))
    assert cache.info().n_bytes <= 1000


@pytest.mark.parametrize("damage", ["truncated", "empty", "head", "value", "checksum", "text"])
def test_a_damaged_file_is_computed_again(cache, damage):
    ask(cache, range(20), block_rows=20)
    (path,) = row_files(cache)
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        del content[-3:]
    elif damage == "empty":
        content.clear()
    elif damage == "text":
        content[:] = b"not what it was, by far"
    else:
        content[{"head": 9, "value": len(content) - 6, "checksum": 16 + 20 * 16 + 2}[damage]] ^= 1
    path.write_bytes(content)
    with pytest.warns(EmbeddingCacheWarning, match="damaged"):
        computed = ask(fresh(cache), range(20), block_rows=20)
    assert computed
    assert ask(fresh(cache), range(20)) == []


@given(data=st.data())
@settings(max_examples=60)
def test_no_damage_gives_wrong_rows(tmp_path_factory, data):
    cache = EmbeddingCache(tmp_path_factory.mktemp("cache"))
    ask(cache, range(6))
    (path,) = row_files(cache)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.sampled_from([len(content), len(content) // 2]))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EmbeddingCacheWarning)
        ask(fresh(cache), range(6))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_leaves_the_memory(tmp_path):
    tmp_path.chmod(0o500)
    check_memory_only(EmbeddingCache(tmp_path / "cache"))


def test_a_place_that_is_no_folder_leaves_the_memory(tmp_path):
    (tmp_path / "file").write_text("in the way")
    check_memory_only(EmbeddingCache(tmp_path / "file"))


def check_memory_only(cache):
    with pytest.warns(EmbeddingCacheWarning, match="kept in memory") as caught:
        ask(cache, range(20))
    assert len(caught) == 1  # once, not once a block
    assert ask(cache, range(20)) == []


def test_two_threads_compute_each_row_once(cache):
    computed, lock = [], threading.Lock()

    def slow(places):
        time.sleep(0.001)
        with lock:
            computed.extend(places)
        return embedding(places)

    def work():
        rows = cache.get_or_compute(SPACE, keys_of(range(60)), slow, block_rows=5)
        np.testing.assert_array_equal(rows, embedding(range(60)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(computed) == list(range(60))


WRITER = """
import pathlib, sys
import numpy as np
from mlfund.backbones._cache import EmbeddingCache
from mlfund.backbones._cache_store import Space

cache = EmbeddingCache(sys.argv[1])
space = Space("tiny", "0f" * 16, ("8 x 8",))
start = int(sys.argv[2])
gate = pathlib.Path(sys.argv[1], f"ready-{start}")
gate.parent.mkdir(exist_ok=True)
gate.touch()
while len(list(gate.parent.glob("ready-*"))) < 2:
    pass
for first in range(0, 120, 3):
    numbers = [start + first, start + first + 1, 10_000 + first]
    def compute(places):
        asked = np.asarray([numbers[place] for place in places], dtype=np.float64)[:, None]
        return np.sin(asked * 12.9898 + np.arange(5)).astype(np.float32)

    keys = [number.to_bytes(16, "little") for number in numbers]
    cache.get_or_compute(space, keys, compute, block_rows=2)
"""


def test_two_processes_that_write_at_once_lose_nothing(cache):
    command = [sys.executable, "-W", "error", "-c", WRITER, str(cache.path)]
    writers = [
        subprocess.Popen([*command, str(start)], stderr=subprocess.PIPE, text=True)
        for start in (0, 1000)
    ]
    for writer in writers:
        _, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors
    firsts = range(0, 120, 3)
    written = [start + f + i for start in (0, 1000) for f in firsts for i in (0, 1)]
    assert ask(fresh(cache), [*written, *(10_000 + f for f in firsts)]) == []


def test_info_and_clear(cache):
    other = Space("other", "aa" * 16)
    ask(cache, range(4))
    ask(cache, range(3), space=other)
    (cache.path / "mine.txt").write_text("not of the cache")
    info = cache.info()
    assert {rows.backbone: rows.n_rows for rows in info.backbones} == {"tiny": 4, "other": 3}
    assert info.n_rows == 7
    assert info.n_bytes == sum(path.stat().st_size for path in row_files(cache))
    assert "tiny (8 x 8): 4 rows" in str(info)
    cache.clear("other")
    assert ask(cache, range(4)) == []
    assert ask(cache, [0], space=other) == [0]
    cache.clear()
    assert cache.info().n_rows == 0
    assert ask(cache, [0]) == [0]
    assert (cache.path / "mine.txt").exists()


def test_unknown_names_are_not_cleared_without_a_word(cache):
    ask(cache, range(4))
    message = r"backbone='tniy' is not known; allowed are .*'tiny'.* Did you mean 'tiny'\?"
    with pytest.raises(ValueError, match=message):
        cache.clear("tniy")
    assert cache.info().n_rows == 4
    # A name of mlfund's own: there is nothing of it, here.
    cache.clear("efficientnet_lite0")
    assert cache.info().n_rows == 4


def test_backbones_in_memory_alone_have_names(tmp_path):
    (tmp_path / "file").write_text("in the way")
    cache = EmbeddingCache(tmp_path / "file")
    with pytest.warns(EmbeddingCacheWarning, match="kept in memory"):
        ask(cache, range(4))
    cache.clear("tiny")
    assert ask(cache, [3]) == [3]


@pytest.mark.parametrize("given", ["efficientnet_lite0", "EfficientNetLite0"])
def test_former_names_are_those_of_today(cache, given):
    for number, name in enumerate(["efficientnet_lite0", "EfficientNetLite0"]):
        ask(cache, [number], space=Space(name, f"{number}a" * 16))
    ask(cache, [9])
    names = [rows.backbone for rows in cache.info().backbones]
    assert sorted(names) == ["efficientnet_lite0", "efficientnet_lite0", "tiny"]
    cache.clear(given)
    assert [rows.backbone for rows in cache.info().backbones] == ["tiny"]


@pytest.mark.parametrize("given", ["timm:resnet18", "resnet18"])
def test_names_of_libraries_are_known_with_and_without_the_library(cache, given):
    for number, name in enumerate(["resnet18", "timm:resnet18", "torchvision:resnet50"]):
        ask(cache, [number], space=Space(name, f"{number}a" * 16))
    cache.clear(given)
    assert [rows.backbone for rows in cache.info().backbones] == ["torchvision:resnet50"]


DAMAGED_NOTES = ["", "{", "[]", "{}", '{"backbone": "tiny", "reading": 3}', '{"backbone": 3}', None]


@pytest.mark.parametrize("content", DAMAGED_NOTES)
def test_rows_whose_note_is_damaged_count_and_can_be_cleared(cache, content):
    ask(cache, range(20))
    n_bytes = damage_note(cache, content)
    (rows,) = cache.info().backbones
    assert (rows.backbone, rows.n_rows, rows.n_bytes) == ("unknown", 20, n_bytes)
    cache.clear("unknown")
    assert not list(cache.path.iterdir())
    ask(cache, range(20))
    damage_note(cache, content)
    cache.clear()
    assert not list(cache.path.iterdir())


@pytest.mark.parametrize("content", DAMAGED_NOTES)
def test_a_damaged_note_is_written_anew(tmp_path, content):
    n_bytes = 16 + 10 * (16 + 4 + 4 * WIDTH)
    cache = EmbeddingCache(tmp_path, max_bytes=3 * n_bytes, memory_bytes=0)
    ask(cache, range(10), block_rows=10)
    damage_note(cache, content)
    with pytest.warns(EmbeddingCacheWarning, match="take more than"):
        ask(cache, range(10, 100), block_rows=10)
    assert [rows.backbone for rows in cache.info().backbones] == ["tiny"]
    assert sum(path.stat().st_size for path in row_files(cache)) <= 3 * n_bytes


def damage_note(cache, content):
    """Put something else into the only note, or remove it; return the bytes of all rows."""
    (note,) = cache.path.glob("*/backbone.json")
    note.unlink() if content is None else note.write_text(content)
    return sum(path.stat().st_size for path in row_files(cache))


@pytest.mark.parametrize("name", ["mine", "0f" * 16])
def test_folders_of_others_are_left_alone(cache, name):
    ask(cache, range(4))
    (cache.path / name).mkdir()
    mine = cache.path / name / ("of_mine.rows" if name == "mine" else "of_mine.txt")
    mine.write_text("not of the cache")
    assert [rows.backbone for rows in cache.info().backbones] == ["tiny"]
    cache.clear()
    assert mine.exists()


def test_rows_that_two_processes_computed_at_once_count_once(cache):
    for numbers in ([1, 2, 3], [2, 3, 4, 5]):
        # Neither has seen the file of the other.
        RowFolder(cache.path / SPACE.name, {"backbone": SPACE.backbone}).write(
            keys_of(numbers), embedding(numbers)
        )
    assert len(row_files(cache)) == 2
    assert cache.info().n_rows == 5


def test_a_killed_writer_leaves_nothing_for_good(tmp_path):
    cache = EmbeddingCache(tmp_path, max_bytes=1000)
    ask(cache, [0])
    litter = row_files(cache)[0].parent / ".x.rows.1.ab.tmp"
    litter.write_bytes(b"half")
    ask(cache, [1])
    assert litter.exists()  # perhaps of a writer at work
    os.utime(litter, (0, 0))
    ask(cache, [2])
    assert not litter.exists()


def test_a_folder_may_be_in_the_home_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    cache = EmbeddingCache("~/emb")
    assert cache.path == tmp_path / "emb"
    assert get_store("~/emb") is get_store(tmp_path / "emb")
    ask(cache, range(3))
    assert row_files(cache)


def test_the_default_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFUND_CACHE", str(tmp_path / "named"))
    assert EmbeddingCache().path == tmp_path / "named"
    assert get_store(None) is get_store(True) is get_store(tmp_path / "named")
    monkeypatch.delenv("MLFUND_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert EmbeddingCache().path == tmp_path / "mlfund" / "embeddings"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert EmbeddingCache().path == tmp_path / ".cache" / "mlfund" / "embeddings"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert EmbeddingCache().path == tmp_path / "Library" / "Caches" / "mlfund" / "embeddings"


def test_a_user_without_a_home_has_the_memory(monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    for name in ("MLFUND_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(_cache, "store_of", lambda *given: Store(*given))
    monkeypatch.setattr(Path, "home", no_home)
    assert EmbeddingCache().path is None
    store = get_store(None)
    assert ask(store, [1, 2]) == [1, 2]
    assert ask(store, [2]) == []
    assert EmbeddingCache().info().n_rows == 0


@pytest.mark.parametrize("given", [3, "", object()])
def test_what_is_no_cache(given):
    with pytest.raises(ValueError, match="EmbeddingCache, the path of a folder"):
        get_store(given)


@pytest.mark.parametrize("options", [{"max_bytes": 0}, {"max_bytes": 1e9}, {"memory_bytes": -1}])
def test_sizes_are_checked(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        EmbeddingCache(**options)


@given(
    puts=st.lists(st.integers(1, 7), max_size=12),
    capacity=st.integers(0, 9),
)
def test_memory_holds_the_last_rows(puts, capacity):
    memory = MemoryRows(capacity * 4 * WIDTH)
    n_put = 0
    for size in puts:
        numbers = range(n_put, n_put + size)
        memory.put(keys_of(numbers), embedding(numbers))
        n_put += size
        found, rows = memory.get(keys_of(range(n_put)))
        if found:
            np.testing.assert_array_equal(rows, embedding(found))
        assert len(found) <= capacity
        assert memory.n_bytes <= capacity * 4 * WIDTH
        assert len(found) >= min(capacity, size)
