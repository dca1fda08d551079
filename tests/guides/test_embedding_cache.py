import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ldrestore.errors import (
    EmbeddingCacheError,
    InputError,
    MissingEmbeddingError,
    OtherGuideError,
    ShapeError,
)
from ldrestore.guides.embedding_cache import (
    METADATA_KEY,
    EmbeddingWriter,
    load_embedding_cache,
    picture_key,
)
from ldrestore.guides.guide_identity import GuideIdentity
from ldrestore.images.files import read_photo, write_photo
from ldrestore.images.photo import Photo

GUIDE = GuideIdentity(name="owner/guide", sha256="a" * 64, question="What is wrong?", shape=(3, 8))
TEXT = GuideIdentity(name="owner/clip", sha256="b" * 64, question=None, shape=(16,))


def embedding(seed=0, shape=(3, 8)):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def write_cache(path, keys=("k0", "k1"), identity=GUIDE):
    with EmbeddingWriter(path, identity) as writer:
        for seed, key in enumerate(keys):
            writer.add(key, embedding(seed, identity.shape))
    return path


@pytest.fixture
def path(tmp_path):
    return write_cache(tmp_path / "cache.safetensors")


@pytest.mark.parametrize("identity", [GUIDE, TEXT], ids=["three vectors", "text features"])
def test_what_is_written_is_read(tmp_path, identity):
    cache = load_embedding_cache(
        write_cache(tmp_path / "c.safetensors", identity=identity), expected_shape=identity.shape, identity=identity
    )
    assert (cache.identity, cache.shape, len(cache), list(cache)) == (identity, identity.shape, 2, ["k0", "k1"])
    assert "k0" in cache and "k2" not in cache
    assert torch.equal(cache.get("k1"), embedding(1, identity.shape))


def test_the_header_tells_guide_question_shape_width_and_version(path):
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()[METADATA_KEY])
    assert header == {
        "version": 1,
        "guide": {
            "name": "owner/guide",
            "sha256": "a" * 64,
            "question": "What is wrong?",
            "shape": [3, 8],
            "width": 8,
        },
    }


def test_a_picture_is_known_by_its_pixels_alone(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    write_photo(Photo(pixels=pixels, exif=None), tmp_path / "a.png")
    write_photo(Photo(pixels=pixels), tmp_path / "renamed.tif")
    keys = {picture_key(read_photo(tmp_path / name)) for name in ("a.png", "renamed.tif")}
    assert keys == {picture_key(Photo(pixels=pixels))}
    changed = pixels.copy()
    changed[2, 3, 1] ^= 1
    assert picture_key(Photo(pixels=changed)) not in keys


def test_equal_embeddings_give_equal_bytes_in_any_order(tmp_path):
    one = write_cache(tmp_path / "one.safetensors", keys=("k0", "k1"))
    with EmbeddingWriter(tmp_path / "two.safetensors", GUIDE) as writer:
        writer.add("k1", embedding(1))
        writer.add("k0", embedding(0).double())
    assert one.read_bytes() == (tmp_path / "two.safetensors").read_bytes()


def test_a_cache_grows(path):
    with EmbeddingWriter(path, GUIDE) as writer:
        assert "k0" in writer and len(writer) == 2
        writer.add("k2", embedding(2))
    cache = load_embedding_cache(path)
    assert torch.equal(cache.get("k0"), embedding(0)) and torch.equal(cache.get("k2"), embedding(2))


def test_every_few_pictures_are_written_and_no_trace_is_left(tmp_path):
    path = tmp_path / "c.safetensors"
    writer = EmbeddingWriter(path, GUIDE, write_every=3)
    sizes = []
    for seed in range(7):
        writer.add(f"k{seed}", embedding(seed))
        sizes.append(len(load_embedding_cache(path)) if path.exists() else 0)
    assert sizes == [0, 0, 3, 3, 3, 6, 6]
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_run_that_stops_keeps_what_was_done(tmp_path, error):
    path = tmp_path / "c.safetensors"

    def stopped_run():
        with EmbeddingWriter(path, GUIDE) as writer:
            writer.add("k0", embedding())
            raise error

    with pytest.raises(error):
        stopped_run()
    assert list(load_embedding_cache(path)) == ["k0"]


def test_nothing_new_writes_nothing(path, tmp_path):
    before = path.stat().st_mtime_ns
    with EmbeddingWriter(path, GUIDE):
        pass
    with EmbeddingWriter(tmp_path / "empty.safetensors", GUIDE):
        pass
    assert path.stat().st_mtime_ns == before
    assert not (tmp_path / "empty.safetensors").exists()


def test_a_disk_error_leaves_the_old_file(path, monkeypatch):
    before = path.read_bytes()

    def fail(self, target):
        raise OSError(28, "No space left on device")

    writer = EmbeddingWriter(path, GUIDE)
    writer.add("k2", embedding(2))
    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(EmbeddingCacheError, match=r"cannot be written \(No space left on device\)"):
        writer.write()
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 1


def test_a_reader_outlives_the_replacement_of_its_file(path):
    cache = load_embedding_cache(path)
    first = cache.get("k0")
    with EmbeddingWriter(path, GUIDE) as writer:
        writer.add("k2", embedding(2))
    assert torch.equal(cache.get("k1"), embedding(1)) and torch.equal(first, embedding(0))
    first.zero_()
    assert torch.equal(cache.get("k0"), embedding(0))


def test_another_process_opens_the_file_itself(path):
    copy = pickle.loads(pickle.dumps(load_embedding_cache(path)))
    assert torch.equal(copy.get("k0"), embedding(0)) and copy.identity == GUIDE


def test_an_unknown_picture_names_the_command(path):
    with pytest.raises(MissingEmbeddingError, match=r"no embedding of the picture .* ldrestore guide IN .*cache"):
        load_embedding_cache(path).get("f" * 64)


def test_no_cache_names_the_command(tmp_path):
    for name in ("none.safetensors", "."):
        with pytest.raises(EmbeddingCacheError, match=r"no cache of embeddings at .*: ldrestore guide IN"):
            load_embedding_cache(tmp_path / name)


def test_another_shape_is_refused(path):
    with pytest.raises(OtherGuideError, match=r"shape \(3, 8\) by owner/guide .*, expected \(3, 2048\)"):
        load_embedding_cache(path, expected_shape=(3, 2048))
    assert issubclass(OtherGuideError, InputError)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sha256": "c" * 64}, r"made by owner/guide \(sha256 a+\), expected owner/guide \(sha256 c+\)"),
        ({"sha256": None, "name": "owner/other"}, "expected owner/other"),
        ({"question": "Rain?"}, "made with the question 'What is wrong.', expected 'Rain.'"),
        ({"shape": (3, 16)}, r"of shape \(3, 8\), expected \(3, 16\)"),
    ],
)
def test_another_guide_is_refused_by_readers_and_writers(path, change, message):
    other = replace(GUIDE, **change)
    with pytest.raises(OtherGuideError, match=message):
        load_embedding_cache(path, identity=other)
    before = path.read_bytes()
    with pytest.raises(OtherGuideError, match=message):
        EmbeddingWriter(path, other)
    assert path.read_bytes() == before


@pytest.mark.parametrize("change", [{"name": "mirror/renamed"}, {"sha256": None, "name": "mirror/guide"}])
def test_the_same_guide_under_another_name_is_taken(path, change):
    assert len(load_embedding_cache(path, identity=replace(GUIDE, **change))) == 2


@pytest.mark.parametrize("length", [0, 5, 100, -1])
def test_a_truncated_file_is_refused(path, length):
    path.write_bytes(path.read_bytes()[:length])
    for read in (load_embedding_cache, lambda file: EmbeddingWriter(file, GUIDE)):
        with pytest.raises(EmbeddingCacheError, match="no intact safetensors file"):
            read(path)


def header(**changes):
    return {METADATA_KEY: json.dumps({"version": 1, "guide": GUIDE.as_dict()} | changes)}


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "does not say which guide made it"),
        ({METADATA_KEY: "{"}, "damaged header"),
        ({METADATA_KEY: "[]"}, "damaged header"),
        (header(guide={"name": "x"}), "damaged header .*expected name, sha256"),
        (header(guide=None), "damaged header"),
        (header(version=2), "cache of version 2, expected 1"),
    ],
)
def test_files_that_are_no_caches_are_refused(path, metadata, message):
    save_file(load_file(path), path, metadata=metadata)
    with pytest.raises(EmbeddingCacheError, match=message):
        load_embedding_cache(path)


def test_an_entry_of_another_shape_is_damage(path):
    save_file({"k0": torch.zeros(2, 8), "k1": torch.zeros(3, 8, dtype=torch.float16)}, path, metadata=header())
    cache = load_embedding_cache(path)
    for key in cache:
        with pytest.raises(EmbeddingCacheError, match=r"is damaged: an entry is .* expected \(3, 8\)"):
            cache.get(key)


def test_bad_embeddings_and_places_are_refused(tmp_path):
    writer = EmbeddingWriter(tmp_path / "c.safetensors", GUIDE)
    with pytest.raises(ShapeError, match=r"shape \(3, 8\), got \(8,\)"):
        writer.add("k", torch.zeros(8))
    for value in (torch.inf, torch.nan):
        with pytest.raises(InputError, match="not finite; run the guide in bfloat16"):
            writer.add("k", torch.full((3, 8), 1.0).index_fill(1, torch.tensor([5]), value))
    assert len(writer) == 0
    writer.add("large", torch.full((3, 8), 3e38))  # whose sum no float32 holds
    assert "large" in writer
    with pytest.raises(EmbeddingCacheError, match="no folder there"):
        EmbeddingWriter(tmp_path / "none" / "c.safetensors", GUIDE)
