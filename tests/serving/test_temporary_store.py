import os
import random
import shutil
import time

import pytest

from ldrestore.errors import InputError
from ldrestore.serving.temporary_store import (
    MARK_NAME,
    MAX_STORED_NAME_BYTES,
    TemporaryStore,
    distinct_names,
    safe_name,
)


@pytest.fixture
def store(tmp_path):
    store = TemporaryStore(tmp_path)
    yield store
    store.close()


def test_only_plain_files_of_the_store_pass(store, tmp_path):
    inside = store.new_folder() / "a.png"
    inside.write_bytes(b"x")
    outside = tmp_path / "secret.txt"
    outside.write_text("secret")
    link = inside.with_name("link.png")
    link.symlink_to(outside)
    inner_link = inside.with_name("inner.png")
    inner_link.symlink_to(inside)
    assert store.checked(inside) == inside
    tricks = [
        outside,
        link,
        inner_link,
        inside.parent,
        store.root / ".." / "secret.txt",
        "/etc/passwd",
        "a\0b",
        "",
        "gone.png",
    ]
    for path in tricks:
        with pytest.raises(InputError, match="send the picture"):
            store.checked(path)


def test_nobody_else_may_read_it_and_nothing_is_left(store):
    folder = store.new_folder()
    assert (os.stat(store.root).st_mode & 0o077, os.stat(folder).st_mode & 0o077) == (0, 0)
    (folder / "a").write_bytes(b"12345")
    assert store.used_bytes() == 5
    store.close()
    assert not store.root.exists()
    assert store.sweep(0) == 0


def test_what_nobody_uses_goes_and_what_is_worked_in_stays(store):
    old, touched, held = (store.new_folder() for _ in range(3))
    for folder in (old, touched, held):
        (folder / "a").write_bytes(b"x")
        os.utime(folder / "a", (1, 1))
        os.utime(folder, (1, 1))
    (store.root / "half-uploaded").write_bytes(b"x")
    os.utime(store.root / "half-uploaded", (1, 1))
    store.touch(touched / "a")
    with store.holding(held):
        assert store.sweep(60) == 2
        assert sorted(path.name for path in store.root.iterdir()) == sorted([MARK_NAME, touched.name, held.name])
    assert store.sweep(60, now=time.time() + 120) == 2


def test_a_folder_outside_is_never_removed(store, tmp_path):
    (tmp_path / "mine").mkdir()
    store.remove(tmp_path / "mine")
    store.remove(store.root)
    assert (tmp_path / "mine").is_dir() and store.root.is_dir()


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("holiday.jpg", "holiday.jpg"),
        ("Bild äöü 写真 (1).png", "Bild äöü 写真 (1).png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\x.png", "x.png"),
        ("/abs/olute.tif", "olute.tif"),
        ("..", "picture"),
        ("", "picture"),
        (".hidden.png", "hidden.png"),
        ("<img src=x onerror=alert(1)>.png", "_img src=x onerror=alert(1)_.png"),
        ("a\nb\x1b[31m\u202e.png", "a_b_[31m_.png"),
        ("con.png", "con_.png"),
        ("Nul.tar.png", "Nul_.tar.png"),
        ("console.png", "console.png"),
        ("हिन्दी ภาษาไทย.png", "हिन्दी ภาษาไทย.png"),
        ("cafe\u0301.png", "caf\u00e9.png"),
        ("caf\udce9.png", "caf_.png"),
        ("a\ud800.png", "a_.png"),
        ('a:b?c*d|e<f>g"h.png', "a_b_c_d_e_f_g_h.png"),
        ("a b .png", "a b.png"),
        ("a. . .", "a"),
        ("no_suffix", "no_suffix"),
        ("long.suffix_of_a_name", "long.suffix_of_a_name"),
        ("-rf.png", "-rf.png"),
    ],
)
def test_names_are_plain_on_every_system(name, safe):
    assert safe_name(name) == safe


def test_long_names_are_cut_by_bytes_and_keep_their_suffix():
    name = safe_name("写" * 300 + ".png")
    assert name.endswith("写.png") and len(name.encode()) <= 180


def test_no_two_names_are_equal_on_any_system():
    names = distinct_names(["a.png", "x/a.png", "A.PNG", "a-2.png", "b.png"])
    assert names == ["a.png", "a-2.png", "A-3.PNG", "a-2-2.png", "b.png"]
    assert len({name.casefold() for name in names}) == 5


@pytest.mark.skipif(os.name == "nt", reason="there the folder of a killed page stays")
def test_what_a_killed_page_left_is_removed_by_the_next_and_a_living_ones_is_not(tmp_path):
    killed, living = TemporaryStore(tmp_path), TemporaryStore(tmp_path)
    os.close(killed._mark)  # as the system does when a process ends
    killed._mark = None
    fresh = TemporaryStore(tmp_path)
    assert [store.root.exists() for store in (killed, living, fresh)] == [False, True, True]
    for store in (living, fresh):
        store.close()


def test_any_name_is_one_plain_name() -> None:
    letters = "a.é/\\\0\n\u202e:<>\"'%&=写\u0301\udcff \t-~$`|*?CON"
    drawn = random.Random(0)
    for _ in range(500):
        name = safe_name("".join(drawn.choices(letters, k=drawn.randint(0, 400))))
        assert name and name == name.strip(" .") and not set(name) & set('/\\\0\n\t:<>"`|*?%\u202e\udcff')
        assert len(name.encode()) <= MAX_STORED_NAME_BYTES
        assert safe_name(name) == name


def test_a_thousand_equal_names_are_a_thousand_names() -> None:
    names = distinct_names(["写" * 200 + ".png"] * 300 + ["a.png", "A.png"] * 50)
    assert len({name.casefold() for name in names}) == 400
    assert all(len(f"{name}.json".encode()) <= 255 for name in names)


def test_what_has_gone_meanwhile_is_touched_and_removed_by_nobody(store) -> None:
    folder = store.new_folder()
    shutil.rmtree(folder)
    store.touch(folder / "a.png")
    store.remove(folder)
    assert store.used_bytes() == 0 and store.sweep(0, now=time.time() + 10) == 0


def test_a_folder_that_two_work_in_is_held_until_both_are_done(store) -> None:
    folder = store.new_folder()
    later = time.time() + 100
    with store.holding(folder):
        with store.holding(folder):
            pass
        assert store.sweep(1, now=later) == 0
    assert store.sweep(1, now=later) == 1


def test_a_held_folder_is_let_go_after_an_error(store) -> None:
    folder = store.new_folder()
    with pytest.raises(KeyError), store.holding(folder):
        raise KeyError
    assert store.sweep(1, now=time.time() + 100) == 1
