"""What is found at a path."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
from films import UCF101_CATEGORIES, cut, write_ucf101
from PIL import Image
from preparing import in_turn

from tgan_tf.data.corpus import open_corpus
from tgan_tf.data.kind import Corpus, Kind, files
from tgan_tf.data.preparation import Settings, prepare
from tgan_tf.data.recordings import recipe
from tgan_tf.errors import InputError


@pytest.fixture(scope="module")
def ucf101(tmp_path_factory):
    directory = tmp_path_factory.mktemp("corpus") / "UCF-101"
    names = [path.name for path in write_ucf101(directory, groups=1, clips=2, frames=8)]
    lists = directory.parent / "ucfTrainTestlist"
    lists.mkdir()
    for name, kept in (("trainlist01", names[::2]), ("testlist01", names[1::2])):
        lines = [f"{kept_name.split('_')[1]}/{kept_name}\n" for kept_name in kept]
        (lists / f"{name}.txt").write_text("".join(lines))
    classes = reversed(sorted(UCF101_CATEGORIES))
    (lists / "classInd.txt").write_text(
        "".join(f"{number} {name}\n" for number, name in enumerate(classes, 1))
    )
    return directory


class TestUCF101:
    @pytest.mark.slow
    def test_is_a_folder_of_videos_named_like_it(self, ucf101):
        corpus = open_corpus(str(ucf101))
        assert corpus.kind == "ucf101"
        assert corpus.recipe.frame_shape == (64, 85, 3)
        assert corpus.subsets == ("train",)
        assert len(corpus.recordings()) == 6

    @pytest.mark.slow
    def test_has_the_subsets_of_its_split(self, ucf101):
        corpus = open_corpus(str(ucf101), split="1")
        assert corpus.subsets == ("train", "test")
        assert [name.split("_")[-1] for name in corpus.videos("train").names] == ["c01.avi"] * 3
        assert [name.split("_")[-1] for name in corpus.videos("test").names] == ["c02.avi"] * 3

    @pytest.mark.slow
    def test_has_its_classes_in_the_order_of_class_ind(self, ucf101):
        corpus = open_corpus(str(ucf101))
        assert corpus.classes == ("Talking", "Cartoon", "Biking")
        videos = corpus.videos("train")
        for name, label in zip(videos.names, videos.labels):
            assert corpus.classes[label] in name

    def test_may_be_read_by_another_recipe(self, ucf101):
        corpus = open_corpus(str(ucf101), size=32, recipe="center_crop")
        assert corpus.videos("train").frame_shape == (32, 32, 3)


class TestOtherKinds:
    def test_folders_of_videos_are_classes_in_alphabetical_order(self, tmp_path):
        for number, folder in enumerate(("b", "a")):
            (tmp_path / folder).mkdir()
            cut("bikes", tmp_path / folder / "same.mp4", 8 * number, 8, codec="libx264")
        corpus = open_corpus(str(tmp_path), size=16)
        assert (corpus.kind, corpus.classes) == ("video files", ("a", "b"))
        assert corpus.videos("train").frame_shape == (16, 16, 3)

    @pytest.mark.slow
    def test_hdf5(self, tmp_path):
        with h5py.File(tmp_path / "train.h5", "w") as file:
            file["image"] = np.zeros((40, 3, 64, 85), np.uint8)
        (tmp_path / "train.csv").write_text(
            "start,end,category,group,scene\n0,20,Surfing,1,1\n20,40,Archery,1,1\n"
        )
        corpus = open_corpus(str(tmp_path / "train.h5"))
        assert (corpus.kind, corpus.classes) == ("hdf5", ("Archery", "Surfing"))
        assert corpus.videos("train").labels.tolist() == [1, 0]

    def test_golf(self, tmp_path):
        Image.fromarray(np.zeros((128 * 3, 128, 3), np.uint8)).save(tmp_path / "a.jpg")
        (tmp_path / "golf.txt").write_text("a.jpg\n")
        corpus = open_corpus(str(tmp_path / "golf.txt"))
        assert (corpus.kind, corpus.classes) == ("golf", None)
        assert corpus.resizing == recipe("center_crop", 64)._asdict()
        assert corpus.videos("train").lengths.tolist() == [3]

    def test_moving_mnist(self, tmp_path):
        np.save(tmp_path / "seq.npy", np.zeros((20, 30, 8, 8), np.uint8))
        corpus = open_corpus(str(tmp_path / "seq.npy"))
        assert corpus.kind == "moving mnist"
        assert corpus.videos("train").frame_shape == (8, 8, 1)
        assert corpus.reading == "30 clips of 20 frames of 8x8, 1 channel"
        corpus = open_corpus(str(tmp_path / "seq.npy"), array_axes="nthw")
        assert corpus.reading == "20 clips of 30 frames of 8x8, 1 channel"

    def test_clips_of_an_archive(self, tmp_path):
        np.savez(tmp_path / "clips.npz", clips=np.zeros((2, 4, 8, 10, 3), np.uint8), latents=[1.0])
        corpus = open_corpus(str(tmp_path / "clips.npz"), size=16)
        assert (corpus.kind, corpus.subsets, corpus.resizing) == ("npz", ("train",), None)
        assert corpus.videos("train").frame_shape == (8, 10, 3)
        assert corpus.videos("train").lengths.tolist() == [4, 4]

    def test_prepared_of_held_out_folders_as_classes_is_refused(self, tmp_path):
        info = {
            "format": 1,
            "counts": {"train": {}},
            "recipe": {},
            "classes": ["test", "train", "val"],
        }
        (tmp_path / "info.json").write_text(json.dumps(info))
        with pytest.raises(InputError, match="its classes are test, train, val: .* prepare"):
            open_corpus(str(tmp_path))

    @pytest.mark.parametrize("counts", [{}, {"counts": 3}])
    def test_prepared_of_a_damaged_description_is_refused(self, tmp_path, counts):
        info = {"format": 1, "classes": None, "recipe": {}, **counts}
        (tmp_path / "info.json").write_text(json.dumps(info))
        with pytest.raises(InputError, match=r"info\.json: is damaged"):
            open_corpus(str(tmp_path))

    def test_prepared_say_how_their_frames_were_resized(self, tmp_path):
        recorded = {"rows": 64, "columns": 85}
        info = {"format": 1, "counts": {"train": {}}, "recipe": recorded, "classes": None}
        (tmp_path / "info.json").write_text(json.dumps(info))
        assert open_corpus(tmp_path).resizing == recorded

    def test_prepared(self, ucf101, tmp_path):
        filmed = open_corpus(str(ucf101), size=16, split="1")
        prepare(
            filmed.recordings(),
            tmp_path / "prepared",
            Settings(filmed.recipe, min_frames=4),
            filmed.classes,
            run=in_turn,
        )
        corpus = open_corpus(f"{tmp_path}/prepared/")
        assert (corpus.kind, corpus.subsets) == ("tfrecords", ("train", "test"))
        assert tuple(corpus.classes) == filmed.classes
        videos = corpus.videos("test")
        assert sorted(videos.names) == sorted(filmed.videos("test").names)
        for name, label in zip(videos.names, videos.labels):
            assert corpus.classes[label] in name


def _open_reel(path, size, speed=1):
    return Corpus(path, REELS.name, ("train",), videos=lambda subset: [path, size, speed, subset])


REELS = Kind("reels", "a reel of film", files(".reel", ".npz"), _open_reel, ("speed", "table"))


class TestKindsOfOnesOwn:
    def test_are_opened_with_their_options(self, tmp_path):
        path = tmp_path / "a.REEL"
        path.touch()
        corpus = open_corpus(path, 8, kinds=[REELS], speed=3)
        assert (corpus.kind, corpus.recordings(), corpus.recipe) == ("reels", [], None)
        assert corpus.videos("train") == [str(path), 8, 3, "train"]

    def test_go_before_those_of_the_package(self, tmp_path):
        (tmp_path / "a.npz").touch()
        assert open_corpus(tmp_path / "a.npz", kinds=[REELS]).kind == "reels"

    def test_are_told_where_a_path_is_of_no_kind(self, tmp_path):
        (tmp_path / "a.docx").touch()
        with pytest.raises(InputError, match="a reel of film; a directory of prepared TFRecords"):
            open_corpus(tmp_path / "a.docx", kinds=[REELS])

    def test_are_told_where_an_option_is_for_them(self, ucf101):
        with pytest.raises(InputError, match=r"table='a\.csv': .* it is for reels, hdf5$"):
            open_corpus(ucf101, kinds=[REELS], table="a.csv")

    def test_that_are_not_given_have_no_options(self, ucf101):
        with pytest.raises(InputError, match=r"speed=3: .* it is for no known kind$"):
            open_corpus(ucf101, speed=3)


class TestBadInput:
    def test_path_that_does_not_exist_is_refused(self, tmp_path):
        with pytest.raises(InputError, match="missing: does not exist"):
            open_corpus(str(tmp_path / "missing"))

    def test_folder_without_videos_is_refused(self, tmp_path):
        (tmp_path / "notes.txt").write_text("none here")
        with pytest.raises(InputError, match="no videos"):
            open_corpus(str(tmp_path))

    def test_unknown_kind_of_file_is_refused(self, tmp_path):
        (tmp_path / "film.docx").write_bytes(b"PK")
        with pytest.raises(InputError, match=r"film\.docx: is not a known kind of file"):
            open_corpus(str(tmp_path / "film.docx"))

    def test_option_of_another_kind_is_refused(self, ucf101):
        with pytest.raises(InputError, match="table='a.csv': .* holds ucf101.* it is for hdf5"):
            open_corpus(str(ucf101), table="a.csv")
        with pytest.raises(InputError, match="array_axes='nthw': .* it is for moving mnist, npz"):
            open_corpus(str(ucf101), array_axes="nthw")
        with pytest.raises(InputError, match="damaged_shards='skip'"):
            open_corpus(str(ucf101), damaged_shards="skip")

    def test_unknown_file_system_is_refused(self):
        with pytest.raises(InputError, match="nowhere:// is not a file system"):
            open_corpus("nowhere://bucket/videos")
