from concurrent.futures import ThreadPoolExecutor

from ldrestore.serving.temporary_store import TemporaryStore
from ldrestore.serving.visitors import Visitors


def test_cancel_ends_what_was_begun_and_not_what_comes_after(tmp_path):
    visitors = Visitors(TemporaryStore(tmp_path))
    first, second, other = visitors.begin("a"), visitors.begin("a"), visitors.begin("b")
    visitors.cancel("a")
    third = visitors.begin("a")
    states = [visitors.is_cancelled("a", call) for call in (first, second, third)]
    assert states == [True, True, False]
    assert not visitors.is_cancelled("b", other)


def test_who_leaves_takes_work_and_folders_along(tmp_path):
    store = TemporaryStore(tmp_path)
    visitors = Visitors(store)
    call = visitors.begin("a")
    before = visitors.new_folder("a", "restore")
    now, look, other = (visitors.new_folder(*words) for words in (("a", "restore"), ("a", "look"), ("b", "look")))
    assert [folder.exists() for folder in (before, now, look)] == [False, True, True]
    visitors.end("a")
    visitors.end("a")
    assert visitors.is_cancelled("a", call)
    assert [path for path in store.root.iterdir() if path.is_dir()] == [other]


def test_a_folder_is_kept_in_place_of_the_last_one(tmp_path):
    visitors = Visitors(TemporaryStore(tmp_path))
    first = visitors.new_folder("a", "restoring")
    visitors.keep_folder("a", "restoring", as_purpose="restored")
    second = visitors.new_folder("a", "restoring")
    assert first.exists()
    visitors.keep_folder("a", "restoring", as_purpose="restored")
    assert [folder.exists() for folder in (first, second)] == [False, True]
    visitors.keep_folder("a", "restoring", as_purpose="restored")
    visitors.keep_folder("nobody", "restoring", as_purpose="restored")
    assert second.exists()
    visitors.remove_folder("a", "restored")
    visitors.remove_folder("nobody", "restored")
    assert not second.exists()


def test_who_has_gone_is_worked_for_no_more_and_a_new_page_begins_anew(tmp_path) -> None:
    visitors = Visitors(TemporaryStore(tmp_path))
    assert visitors.is_cancelled("nobody", 1)
    call = visitors.begin("a")
    visitors.end("a")
    assert visitors.is_cancelled("a", call)
    again = visitors.begin("a")
    assert not visitors.is_cancelled("a", again)
    visitors.cancel("never here")  # harms nobody
    assert visitors.begin("never here") == 1


def test_calls_of_many_threads_have_numbers_and_folders_of_their_own(tmp_path) -> None:
    store = TemporaryStore(tmp_path)
    visitors = Visitors(store)
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda _: visitors.begin("a"), range(200)))
        folders = list(pool.map(lambda number: visitors.new_folder("a", f"{number % 5}"), numbers))
    assert sorted(numbers) == list(range(1, 201))
    assert len({folder for folder in folders if folder.exists()}) == 5  # the last one of each purpose
    visitors.end("a")
    assert not any(folder.exists() for folder in folders)
