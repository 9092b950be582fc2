"""Exported generators, read back by TensorFlow's loaders of both generations.

Long, as an export takes seconds and many of the tests read the same one.
"""

from __future__ import annotations

import collections
import contextlib
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from model_servers import Servable
from tensorflow_serving.apis import prediction_log_pb2
from tiny_tgan import CLIP_SHAPE, Z0_DIM, make_generator, save_run

from tgan_tf import export, file_locks
from tgan_tf.errors import InputError
from tgan_tf.export import export_generator
from tgan_tf.models import VideoGenerator


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

    def save(generator, path, name, training):
        path.mkdir()
        (path / "saved_model.pb").write_text("model")

    monkeypatch.setattr(export, "_save", save)


@pytest.fixture(scope="module")
def serve(exported):
    return tf.saved_model.load(str(exported)).signatures["serving_default"]


@pytest.mark.slow
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

    def test_has_only_tensorflow_s_own_operations(self, exported):
        operations = {node.op for node in graph_nodes(exported)}
        assert "Conv2DBackpropInput" in operations
        # `tf.raw_ops` has no operations of libraries that were loaded, such as Addons' and IO's.
        own = {name for name in dir(tf.raw_ops) if "PyFunc" not in name}
        assert operations <= own

    def test_is_hardly_larger_than_the_generator_s_weights(self, tmp_path):
        generator = VideoGenerator()
        version = export_generator(generator, tmp_path / "name")
        size = sum(path.stat().st_size for path in version.rglob("*") if path.is_file())
        assert size <= 1.1 * 4 * generator.count_params()

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

    @pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
    def test_computes_in_half_precision_if_asked_to(self, generator, tmp_path, dtype):
        version = export_generator(generator, tmp_path / "name", dtype)
        z0 = latents(3)
        serve = tf.saved_model.load(str(version)).signatures["serving_default"]
        videos = serve(z0=tf.constant(z0))["videos"]
        assert videos.dtype == tf.float32
        assert 0 < np.abs(videos - generator(z0)).max() < 0.1
        convolutions = [node for node in graph_nodes(version) if node.op == "Conv2DBackpropInput"]
        assert {node.attr["T"].type for node in convolutions} == {
            getattr(tf, dtype).as_datatype_enum
        }

    def test_refuses_a_dtype_that_it_cannot_compute_in(self, generator, tmp_path):
        with pytest.raises(InputError, match="compute_dtype='int8': must be one of float32"):
            export_generator(generator, tmp_path / "name", "int8")


class TestWarmUp:
    @pytest.mark.slow
    def test_asks_for_each_signature_what_it_answers(self, exported):
        path = exported / "assets.extra" / "tf_serving_warmup_requests"
        records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
        asked = collections.defaultdict(list)
        servable = Servable(exported)
        for record in records:
            log = prediction_log_pb2.PredictionLog.FromString(record)
            request = log.predict_log.request
            name = request.model_spec.signature_name
            inputs = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
            outputs = servable.run(name, inputs)
            sizes = {len(value) for value in [*inputs.values(), *outputs.values()]}
            assert len(sizes) == 1
            asked[name] += sizes
        servable.session.close()
        assert asked == {
            "serving_default": [1, 2, 4, 8],
            "generate": [1, 2, 4, 8],
            "generate_encoded": [1],
            "interpolate": [1],
            "latent_walk": [1],
        }


class TestModelCard:
    def test_says_what_the_model_is(self, generator, exported):
        card = json.loads((exported / "model_card.json").read_text())
        assert card["model"] == "name"
        assert card["parameters"] == sum(weight.size for weight in generator.get_weights())
        assert card["generator"]["frames"] == 4
        assert card["compute_dtype"] == "float32"
        assert card["versions"]["tensorflow"] == tf.__version__
        assert card["signatures"]["generate"] == {
            "inputs": {"seed": {"dtype": "int64", "shape": [None]}},
            "outputs": {"videos": {"dtype": "uint8", "shape": [None, *CLIP_SHAPE]}},
        }

    def test_has_the_sum_of_the_weights_that_are_served(self, exported):
        card = json.loads((exported / "model_card.json").read_text())
        reader = tf.train.load_checkpoint(str(exported / "variables/variables"))
        count = len(reader.get_variable_to_shape_map()) - 1
        values = [
            reader.get_tensor(f"weights/{i}/.ATTRIBUTES/VARIABLE_VALUE") for i in range(count)
        ]
        digest = hashlib.sha256(b"".join(value.astype("<f4").tobytes() for value in values))
        assert card["weights_sha256"] == digest.hexdigest()

    @pytest.mark.slow
    def test_describes_the_run_and_what_was_measured_of_its_step(self, tmp_path):
        save_run(tmp_path / "mine", step=3, flags={"data_path": "films", "seed": 1})
        assert export.describe_run(tmp_path / "mine", 3) == {
            "run": "mine",
            "step": 3,
            "data": "films",
            "flags": ["--data_path=films", "--seed=1"],
            "metrics": {},
        }
        record = {"metric": "fvd", "of": "checkpoint", "error": 0.5, "error_of": "jackknife"}
        record.update(n=8, n_real=9, extractor={"name": "c3d", "sha256": "0"}, real={"path": "p"})
        lines = [
            {**record, "value": 1.0, "step": 3},
            {**record, "value": 2.0, "step": 3},
            {**record, "value": 3.0, "step": 4},
            {**record, "value": 4.0, "of": "real"},
        ]
        path = tmp_path / "mine/evaluation/metrics.jsonl"
        path.parent.mkdir()
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        described = export.describe_run(tmp_path / "mine", 3)
        assert described["data"] == {"path": "p"}
        assert list(described["metrics"]) == ["fvd"]
        assert described["metrics"]["fvd"]["value"] == 2.0
        assert described["metrics"]["fvd"]["extractor"] == "c3d"


class TestLoading:
    @pytest.mark.slow
    def test_takes_the_highest_version_or_the_one_that_is_named(self, generator, exported):
        z0 = latents(2)
        for path in (exported, exported.parent):
            serve, version = export.load_exported(path)
            assert version == exported
            videos = serve(z0=tf.constant(z0))["videos"]
            np.testing.assert_allclose(videos, generator(z0), rtol=0, atol=1e-6)

    @pytest.mark.slow
    def test_takes_a_path_with_brackets_as_it_stands(self, generator, exported, tmp_path):
        copy = shutil.copytree(exported, tmp_path / "lr=[1e-4,2e-4]")
        serve, _ = export.load_exported(copy)
        videos = serve(z0=tf.constant(latents(2)))["videos"]
        np.testing.assert_allclose(videos, generator(latents(2)), rtol=0, atol=1e-6)

    def test_refuses_what_is_no_exported_generator(self, exported, tmp_path):
        (tmp_path / "empty").mkdir()
        (tmp_path / "damaged").mkdir()
        (tmp_path / "damaged/saved_model.pb").write_text("no protocol buffer")
        other = tf.Module()
        other.call = tf.function(lambda x: {"y": x}, input_signature=[tf.TensorSpec([])])
        tf.saved_model.save(other, str(tmp_path / "other"), signatures=other.call)
        for name, reason in {
            "missing": "holds no SavedModel and no version of one",
            "empty": "holds no SavedModel and no version of one",
            "damaged": "cannot be loaded",
            "other": "has no 'z0', so it is not an exported generator",
        }.items():
            with pytest.raises(InputError, match=f"{name}: {reason}") as error:
                export.load_exported(tmp_path / name)
            assert "\n" not in str(error.value)

    def test_refuses_one_of_another_tensorflow_and_names_both(self, tmp_path):
        (tmp_path / "saved_model.pb").write_text("no protocol buffer")
        (tmp_path / "model_card.json").write_text('{"versions": {"tensorflow": "9.9.9"}}')
        message = f"it was made by TensorFlow 9.9.9, this is {tf.__version__}"
        with pytest.raises(InputError, match=message):
            export.load_exported(tmp_path)

    @pytest.mark.slow
    @pytest.mark.parametrize("cut", [0, 50, 300])
    @pytest.mark.parametrize("part", ["variables.index", "variables.data-00000-of-00001"])
    def test_refuses_damaged_variables_in_one_line(self, exported, tmp_path, part, cut):
        version = shutil.copytree(exported, tmp_path / "1")
        path = version / "variables" / part
        path.write_bytes(path.read_bytes()[:cut])
        with pytest.raises(
            InputError, match="1: cannot be loaded .*restore it from a copy"
        ) as error:
            export.load_exported(version)
        assert "\n" not in str(error.value)

    def test_reads_of_the_card_what_latents_it_takes(self, exported):
        assert export.read_latents(exported) == (0, "uniform")

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            (None, "cannot be read .No such file or directory.: give a path that exists"),
            ("{", "is damaged"),
            ("\xff", "is damaged"),
            ("[]", "is damaged"),
            ('{"generator": 3}', "is damaged"),
            (
                '{"generator": {"num_classes": "x"}}',
                "is damaged .num_classes='x': must be an int",
            ),
            ('{"generator": {"num_classes": NaN}}', "is damaged .num_classes=nan"),
            (
                '{"generator": {"latent_distribution": "cauchy"}}',
                "is damaged .latent_distribution='c",
            ),
            ("[" * 100_000, "is damaged"),
        ],
    )
    def test_refuses_a_damaged_card_in_one_line(self, tmp_path, text, reason):
        if text is not None:
            (tmp_path / "model_card.json").write_bytes(text.encode("latin-1"))
        with pytest.raises(InputError, match=f"model_card.json: {reason}") as error:
            export.read_latents(tmp_path)
        assert "\n" not in str(error.value) and "disk" not in str(error.value)


class TestKerasFile:
    @pytest.mark.slow
    def test_is_the_same_generator(self, generator, tmp_path):
        export.save_keras(generator, tmp_path / "generator.keras")
        assert listing(tmp_path) == ["generator.keras"]
        loaded = keras.models.load_model(tmp_path / "generator.keras")
        np.testing.assert_array_equal(loaded(latents(2)), generator(latents(2)))

    def test_that_does_not_fit_the_disk_is_one_line_and_leaves_nothing(self, generator, tmp_path):
        with pytest.raises(InputError, match="could not be written .File too large") as error:
            with largest_file(1000):
                export.save_keras(generator, tmp_path / "generator.keras")
        assert "\n" not in str(error.value)
        assert listing(tmp_path) == []


def graph_nodes(version: Path) -> list:
    """The nodes of a SavedModel's graph and of all its functions."""
    definition = Servable(version).session.graph.as_graph_def()
    functions = [node for function in definition.library.function for node in function.node_def]
    return [*definition.node, *functions]


@pytest.fixture(scope="module")
def small_generator():
    return VideoGenerator(2, 8, 1, z0_dim=2, z1_dim=2, temporal_filters=4, image_filters=4)


@pytest.mark.usefixtures("quick_save")
class TestVersions:
    @pytest.mark.slow
    def test_begin_with_1_and_count_up(self, small_generator, tmp_path):
        export_dir = tmp_path / "saved_models" / "name"
        for number in (1, 2, 3):
            assert export_generator(small_generator, export_dir) == export_dir / str(number)
        assert listing(export_dir) == sorted(
            [*"123", *(f"{number}/saved_model.pb" for number in (1, 2, 3))]
        )

    @pytest.mark.slow
    def test_go_on_above_the_highest_numerically(self, small_generator, tmp_path):
        for name in ("2", "10", "9"):
            (tmp_path / "name" / name).mkdir(parents=True)
        assert export_generator(small_generator, tmp_path / "name").name == "11"

    @pytest.mark.slow
    def test_leave_room_for_hidden_files(self, small_generator, tmp_path):
        (tmp_path / "name").mkdir()
        (tmp_path / "name" / ".gitkeep").write_text("")
        assert export_generator(small_generator, tmp_path / "name").name == "1"

    @pytest.mark.slow
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

    @pytest.mark.slow
    def test_go_where_a_symbolic_link_leads(self, small_generator, tmp_path):
        (tmp_path / "disk").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "disk" / "name")
        assert export_generator(small_generator, tmp_path / "link") == tmp_path / "link" / "1"
        assert listing(tmp_path / "disk") == ["name", "name/1", "name/1/saved_model.pb"]

    @pytest.mark.slow
    def test_can_be_read_by_a_server_of_another_user(self, small_generator, tmp_path):
        version = export_generator(small_generator, tmp_path / "name")
        mask = os.umask(0)
        os.umask(mask)
        for path in (version, version.parent):
            assert path.stat().st_mode & 0o777 == 0o777 & ~mask

    @pytest.mark.slow
    def test_are_nowhere_to_be_seen_until_complete(self, small_generator, tmp_path, monkeypatch):
        save = export._save
        seen = []

        def watched_save(*arguments):
            save(*arguments)
            seen.extend(name for name in os.listdir(tmp_path) if not name.startswith("."))

        monkeypatch.setattr(export, "_save", watched_save)
        export_generator(small_generator, tmp_path / "name")
        assert seen == []
        assert listing(tmp_path) == ["name", "name/1", "name/1/saved_model.pb"]

    @pytest.mark.slow
    def test_are_not_made_when_interrupted(self, small_generator, tmp_path, monkeypatch):
        def interrupted_save(generator, path, name, training):
            path.mkdir()
            raise KeyboardInterrupt

        monkeypatch.setattr(export, "_save", interrupted_save)
        with pytest.raises(KeyboardInterrupt):
            export_generator(small_generator, tmp_path / "name")
        assert listing(tmp_path) == []

    @pytest.mark.slow
    def test_are_not_made_when_killed(self, tmp_path):
        program = """
            import os, signal, sys
            from tgan_tf import export, file_locks
            from tgan_tf.models import VideoGenerator

            # At the last moment, with everything written.
            export._publish = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
            generator = VideoGenerator(2, 8, 1, 2, 2, temporal_filters=4, image_filters=4)
            export.export_generator(generator, sys.argv[1])
        """
        (tmp_path / "name" / "1").mkdir(parents=True)
        command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "name")]
        assert subprocess.run(command, capture_output=True).returncode == -signal.SIGKILL
        assert listing(tmp_path / "name") == ["1"]
        # A whole model, which the next export removes.
        (left,) = set(os.listdir(tmp_path)) - {"name"}
        assert left.startswith(".name.")
        file_locks.sweep(tmp_path)
        assert os.listdir(tmp_path) == ["name"]


class TestFullDisk:
    @pytest.mark.slow
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
            ("file", "is not a directory"),
            ("file/name", "could not be written (Not a directory)"),
            ("run", "holds configuration.json"),
            ("other", "holds name, which is not a version of a model"),
            ("other/name/1", "holds saved_model.pb"),
            ("numbered_file", "holds 2, which is not a version"),
        ],
    )
    def test_is_refused_in_one_line_and_left_alone(self, generator, tmp_path, name, reason):
        (tmp_path / "file").write_text("")
        for path in ("run/configuration.json", "other/name/1/saved_model.pb", "numbered_file/2"):
            (tmp_path / path).parent.mkdir(parents=True)
            (tmp_path / path).write_text("")
        before = listing(tmp_path)
        with pytest.raises(InputError) as error:
            export_generator(generator, tmp_path / name)
        assert str(tmp_path / name) in str(error.value)
        assert reason in str(error.value)
        assert "give a" in str(error.value)
        assert "\n" not in str(error.value)
        assert listing(tmp_path) == before

    def test_is_refused_where_a_volume_is_mounted(self, generator, tmp_path, monkeypatch):
        monkeypatch.setattr(Path, "is_mount", lambda path: path == tmp_path / "name")
        with pytest.raises(InputError, match="mount point.*name/NAME"):
            export_generator(generator, tmp_path / "name")
        assert listing(tmp_path) == []
