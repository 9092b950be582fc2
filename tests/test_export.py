"""Exported generators, read back by TensorFlow's loaders of both generations."""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_tgan import CLIP_SHAPE, Z0_DIM, make_tgan

from tgan_tf.errors import InputError
from tgan_tf.export import export_generator
from tgan_tf.models import VideoGenerator


def make_generator():
    """Weights, scales and running averages none of which are those of a new generator."""
    generator = make_tgan().generator
    rng = np.random.default_rng(0)
    generator.set_weights([w + rng.uniform(0.1, 0.3, w.shape) for w in generator.get_weights()])
    return generator


def latents(count):
    return np.random.default_rng(1).uniform(-1, 1, [count, Z0_DIM]).astype(np.float32)


def listing(directory: Path) -> list[str]:
    """Everything below a directory, hidden files too."""
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


@contextlib.contextmanager
def largest_file(size: int):
    """Lets no file grow beyond `size` bytes: as on a full disk, writing fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(scope="module")
def generator():
    return make_generator()


@pytest.fixture(scope="module")
def exported(generator, tmp_path_factory):
    return export_generator(generator, tmp_path_factory.mktemp("saved_models") / "name")


@pytest.fixture
def quick_save(monkeypatch):
    """For tests of where models go, not of what they are: a model is saved as one small file."""

    def save(module, path, signatures):
        Path(path).mkdir()
        Path(path, "saved_model.pb").write_text("model")

    monkeypatch.setattr(tf.saved_model, "save", save)


@pytest.fixture(scope="module")
def serve(exported):
    return tf.saved_model.load(str(exported)).signatures["serving_default"]


class TestSavedModel:
    @pytest.mark.parametrize("count", [1, 2, 9])
    def test_makes_what_the_generator_makes_in_inference(self, generator, serve, count):
        z0 = latents(count)
        outputs = serve(z0=tf.constant(z0))
        assert outputs["videos"].dtype == outputs["frame_latents"].dtype == tf.float32
        videos, frame_latents = generator(z0), generator.frame_latents(z0)
        assert np.std(videos) > 0.01
        np.testing.assert_allclose(outputs["videos"], videos, rtol=0, atol=1e-6)
        np.testing.assert_allclose(outputs["frame_latents"], frame_latents, rtol=0, atol=1e-6)

    def test_takes_an_empty_batch(self, serve):
        outputs = serve(z0=tf.constant(latents(0)))
        assert outputs["videos"].shape == (0, *CLIP_SHAPE)
        assert outputs["frame_latents"].shape == (0, 4, 5)

    def test_makes_a_clip_whatever_else_is_in_the_batch(self, serve):
        z0 = latents(3)
        videos = serve(z0=tf.constant(z0))["videos"]
        np.testing.assert_allclose(serve(z0=tf.constant(z0[1:2]))["videos"], videos[1:2], atol=1e-6)

    def test_declares_all_shapes_but_the_batch_s(self, serve):
        assert serve.structured_input_signature == (
            (),
            {"z0": tf.TensorSpec([None, Z0_DIM], tf.float32, name="z0")},
        )
        assert {name: spec.shape.as_list() for name, spec in serve.structured_outputs.items()} == {
            "videos": [None, *CLIP_SHAPE],
            "frame_latents": [None, 4, 5],
        }

    def test_serves_in_a_session_as_a_model_server_does(self, generator, exported):
        z0 = latents(3)
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            meta_graph = tf.compat.v1.saved_model.loader.load(session, ["serve"], str(exported))
            signature = meta_graph.signature_def["serving_default"]
            assert signature.method_name == "tensorflow/serving/predict"
            videos, frame_latents = session.run(
                [signature.outputs["videos"].name, signature.outputs["frame_latents"].name],
                {signature.inputs["z0"].name: z0},
            )
        np.testing.assert_allclose(videos, generator(z0), rtol=0, atol=1e-6)
        np.testing.assert_allclose(frame_latents, generator.frame_latents(z0), rtol=0, atol=1e-6)

    def test_has_only_tensorflow_s_own_operations(self, exported):
        nodes = graph_nodes(exported)
        operations = {node.op for node in nodes}
        assert "Conv2DBackpropInput" in operations
        # Addons' and IO's are called Addons>… and IO>…, Python's PyFunc, EagerPyFunc and so on.
        assert not [name for name in operations if ">" in name or "PyFunc" in name]

    def test_has_the_generator_s_variables_and_no_others(self, generator, exported):
        saved = tf.train.list_variables(str(exported / "variables/variables"))
        shapes = [shape for name, shape in saved if name != "_CHECKPOINTABLE_OBJECT_GRAPH"]
        expected = [list(weight.shape) for weight in generator.get_weights()]
        assert sorted(shapes) == sorted(expected)

    def test_of_a_mixed_precision_generator_computes_in_float32(self, generator, tmp_path):
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
        try:
            version = export_generator(make_generator(), tmp_path / "name")
            assert keras.mixed_precision.global_policy().name == "mixed_bfloat16"
        finally:
            keras.mixed_precision.set_global_policy("float32")
        z0 = latents(3)
        serve = tf.saved_model.load(str(version)).signatures["serving_default"]
        outputs = serve(z0=tf.constant(z0))
        np.testing.assert_allclose(outputs["videos"], generator(z0), rtol=0, atol=1e-6)
        types = {node.attr[key].type for node in graph_nodes(version) for key in ("T", "DstT")}
        assert tf.float32.as_datatype_enum in types
        assert not {tf.bfloat16.as_datatype_enum, tf.float16.as_datatype_enum} & types


def graph_nodes(version: Path) -> list:
    """The nodes of a SavedModel's graph and of all its functions."""
    with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
        tf.compat.v1.saved_model.loader.load(session, ["serve"], str(version))
        definition = graph.as_graph_def()
    functions = [node for function in definition.library.function for node in function.node_def]
    return [*definition.node, *functions]


@pytest.fixture(scope="module")
def small_generator():
    return VideoGenerator(2, 8, 1, z0_dim=2, z1_dim=2, temporal_filters=4, image_filters=4)


@pytest.mark.usefixtures("quick_save")
class TestVersions:
    def test_begin_with_1_and_count_up(self, small_generator, tmp_path):
        export_dir = tmp_path / "saved_models" / "name"
        for number in (1, 2, 3):
            assert export_generator(small_generator, export_dir) == export_dir / str(number)
        assert listing(export_dir) == sorted(
            [*"123", *(f"{number}/saved_model.pb" for number in (1, 2, 3))]
        )

    def test_go_on_above_the_highest_numerically(self, small_generator, tmp_path):
        for name in ("2", "10", "9"):
            (tmp_path / "name" / name).mkdir(parents=True)
        assert export_generator(small_generator, tmp_path / "name").name == "11"

    def test_leave_room_for_hidden_files(self, small_generator, tmp_path):
        (tmp_path / "name").mkdir()
        (tmp_path / "name" / ".gitkeep").write_text("")
        assert export_generator(small_generator, tmp_path / "name").name == "1"

    def test_taken_by_another_export_meanwhile_are_not_overwritten(
        self, small_generator, tmp_path, monkeypatch
    ):
        rename = os.rename
        others = iter(["1", "2"])

        def rename_too_late(source, target):
            for name in others:
                (tmp_path / "name" / name).mkdir(parents=True)
                (tmp_path / "name" / name / "saved_model.pb").write_text("other")
                break
            rename(source, target)

        monkeypatch.setattr(os, "rename", rename_too_late)
        assert export_generator(small_generator, tmp_path / "name").name == "3"
        texts = [path.read_text() for path in sorted(tmp_path.glob("name/*/saved_model.pb"))]
        assert texts == ["other", "other", "model"]

    def test_go_where_a_symbolic_link_leads(self, small_generator, tmp_path):
        (tmp_path / "disk").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "disk" / "name")
        assert export_generator(small_generator, tmp_path / "link") == tmp_path / "link" / "1"
        assert listing(tmp_path / "disk") == ["name", "name/1", "name/1/saved_model.pb"]

    def test_can_be_read_by_a_server_of_another_user(self, small_generator, tmp_path):
        version = export_generator(small_generator, tmp_path / "name")
        mask = os.umask(0)
        os.umask(mask)
        for path in (version, version.parent):
            assert path.stat().st_mode & 0o777 == 0o777 & ~mask

    def test_are_nowhere_to_be_seen_until_complete(self, small_generator, tmp_path, monkeypatch):
        save = tf.saved_model.save
        seen = []

        def watched_save(module, path, signatures):
            save(module, path, signatures)
            seen.extend(name for name in os.listdir(tmp_path) if not name.startswith("."))

        monkeypatch.setattr(tf.saved_model, "save", watched_save)
        export_generator(small_generator, tmp_path / "name")
        assert seen == []
        assert listing(tmp_path) == ["name", "name/1", "name/1/saved_model.pb"]

    def test_are_not_made_when_interrupted(self, small_generator, tmp_path, monkeypatch):
        def interrupted_save(module, path, signatures):
            Path(path).mkdir()
            raise KeyboardInterrupt

        monkeypatch.setattr(tf.saved_model, "save", interrupted_save)
        with pytest.raises(KeyboardInterrupt):
            export_generator(small_generator, tmp_path / "name")
        assert listing(tmp_path) == []


class TestFullDisk:
    @pytest.mark.parametrize("size", [0, 4_000, 50_000])
    def test_is_one_line_and_leaves_nothing(self, generator, tmp_path, size):
        (tmp_path / "name" / "1").mkdir(parents=True)
        with pytest.raises(InputError) as error, largest_file(size):
            export_generator(generator, tmp_path / "name")
        reason = "the model could not be written (File too large): free some disk space"
        assert f"{tmp_path / 'name'}: {reason}" in str(error.value)
        assert "\n" not in str(error.value)
        assert listing(tmp_path) == ["name", "name/1"]


class TestBadExportDir:
    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("file", "is no directory"),
            ("file/name", "could not be written (Not a directory)"),
            ("run", "holds model.json"),
            ("other", "holds name, which is no version of a model"),
            ("other/name/1", "holds saved_model.pb"),
            ("numbered_file", "holds 2, which is no version"),
        ],
    )
    def test_is_refused_in_one_line_and_left_alone(self, generator, tmp_path, name, reason):
        (tmp_path / "file").write_text("")
        for path in ("run/model.json", "other/name/1/saved_model.pb", "numbered_file/2"):
            (tmp_path / path).parent.mkdir(parents=True)
            (tmp_path / path).write_text("")
        before = listing(tmp_path)
        with pytest.raises(InputError) as error:
            export_generator(generator, tmp_path / name)
        assert str(tmp_path / name) in str(error.value)
        assert reason in str(error.value)
        assert "give an" in str(error.value)
        assert "\n" not in str(error.value)
        assert listing(tmp_path) == before

    def test_is_refused_where_a_volume_is_mounted(self, generator, tmp_path, monkeypatch):
        monkeypatch.setattr(Path, "is_mount", lambda path: path == tmp_path / "name")
        with pytest.raises(InputError, match="mount point.*name/NAME"):
            export_generator(generator, tmp_path / "name")
        assert listing(tmp_path) == []
