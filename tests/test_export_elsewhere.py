"""Exported generators, run by others: the server's own C++ call, and OpenVINO."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tiny_tgan import CLIP_SHAPE, Z0_DIM, make_generator

from tgan_tf import rendering
from tgan_tf.export import export_generator
from tgan_tf.latents import latents

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
Z0 = np.random.default_rng(1).uniform(-1, 1, [3, Z0_DIM]).astype(np.float32)
NAN = np.where(np.arange(Z0_DIM) == 2, np.nan, Z0).astype(np.float32)
SEEDS = np.array([3, 0, 2**40], np.int64)
NO_SEEDS = np.zeros([0], np.int64)
REQUESTS = {
    "videos": ("serving_default", {"z0": Z0}),
    "of seeds": ("generate", {"seed": SEEDS}),
    "encoded": ("generate_encoded", {"seed": SEEDS}),
    "no z0": ("serving_default", {"z0": Z0[:0]}),
    "no seeds": ("generate", {"seed": NO_SEEDS}),
    "nothing encoded": ("generate_encoded", {"seed": NO_SEEDS}),
    "no factors": ("interpolate", {"z0": Z0[:0], "factor": NO_SEEDS}),
    "no walks": ("latent_walk", {"start_seed": NO_SEEDS, "end_seed": NO_SEEDS}),
    "short z0": ("serving_default", {"z0": Z0[:, 1:]}),
    "flat z0": ("serving_default", {"z0": Z0[0]}),
    "double z0": ("serving_default", {"z0": Z0.astype(np.float64)}),
    "NaN": ("serving_default", {"z0": NAN}),
    "seeds in a column": ("generate", {"seed": SEEDS[:, np.newaxis]}),
    "float seeds": ("generate", {"seed": SEEDS.astype(np.float32)}),
    "factor 0": ("interpolate", {"z0": Z0, "factor": np.array([1, 2, 0])}),
    "one end": ("latent_walk", {"start_seed": SEEDS, "end_seed": SEEDS[:0]}),
    "no end": ("latent_walk", {"start_seed": SEEDS}),
    "videos again": ("serving_default", {"z0": Z0}),
}


@pytest.fixture(scope="module")
def generator():
    return make_generator()


@pytest.fixture(scope="module")
def exported(generator, tmp_path_factory):
    return export_generator(generator, tmp_path_factory.mktemp("saved_models") / "name")


@pytest.fixture(scope="module")
def compiler():
    """The program and the process that compiles it, begun before the export is.

    Kept by its source, the command and the version of TensorFlow.
    """
    if shutil.which("g++") is None:
        pytest.skip("no g++ on the PATH: install it to call tensorflow::LoadSavedModel")
    library = Path(tf.sysconfig.get_lib())
    flags = [f.replace("-I", "-isystem", 1) for f in tf.sysconfig.get_compile_flags()]
    libraries = [library / f"libtensorflow_{name}.so.2" for name in ("cc", "framework")]
    source = HERE / "serving" / "load_saved_model.cc"
    # The one that registers sessions is needed, though in TensorFlow 2.21 no symbol says so.
    linked = ["-Wl,--no-as-needed", *libraries, f"-Wl,-rpath,{library}"]
    command = ["g++", "-O0", *flags, source, *linked, "-o"]
    made_of = source.read_bytes() + repr([*command, tf.version.VERSION]).encode()
    cache = HERE.parent / ".pytest_cache" / "load_saved_model"
    cache.mkdir(parents=True, exist_ok=True)
    program = cache / hashlib.sha256(made_of).hexdigest()[:16]
    if program.exists():
        command = ["true"]
    else:
        command.append(program.with_suffix(f".{os.getpid()}"))
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        yield program, process
        process.kill()


@pytest.fixture(scope="module")
def answered(compiler, exported, tmp_path_factory):
    """The program's exit code, the lines of its list, and those of each answer by its name."""
    program, process = compiler
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    if not program.exists():
        Path(process.args[-1]).rename(program)
    directory = tmp_path_factory.mktemp("requests")
    lines = []
    for number, (signature, inputs) in enumerate(REQUESTS.values()):
        words = [signature, f"{number}-"]
        for name, values in inputs.items():
            values.tofile(directory / f"{number}-{name}")
            shape = ",".join(map(str, values.shape))
            words += [name, cpp_name(values.dtype), shape, f"{number}-{name}"]
        lines.append(" ".join(words))
    result = subprocess.run(
        [program, exported],
        cwd=directory,
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
    )
    listed, *answers = [part.splitlines() for part in result.stdout.split("\n\n")[:-1]]
    assert len(answers) == len(REQUESTS), result.stderr
    return result.returncode, listed, dict(zip(REQUESTS, answers)), directory


def cpp_name(dtype) -> str:
    """As C++ prints it and reads it."""
    name = tf.as_dtype(dtype).name
    return {"float32": "float", "float64": "double"}.get(name, name)


def output(answered, request: str, name: str, dtype) -> np.ndarray:
    number = list(REQUESTS).index(request)
    return np.fromfile(answered[3] / f"{number}-{name}", dtype)


class TestLoadSavedModel:
    """Comes first, and its compiler before the export: they run at the same time."""

    def test_lists_the_signatures_that_python_sees(self, compiler, exported, answered):
        expected = [
            f"{signature} {kind} {spec_name} {cpp_name(spec.dtype)} "
            f"[{','.join('?' if size is None else str(size) for size in spec.shape)}]"
            for signature, function in tf.saved_model.load(str(exported)).signatures.items()
            for kind, specs in (
                ("input", function.structured_input_signature[1]),
                ("output", function.structured_outputs),
            )
            for spec_name, spec in specs.items()
        ]
        # TensorFlow's loader adds one of its own, which Python does not show.
        listed = [line for line in answered[1] if not line.startswith("__saved_model_init_op ")]
        assert sorted(listed) == sorted(expected)

    @pytest.mark.parametrize("request_name", ["videos", "videos again"])
    def test_makes_the_generator_s_videos(self, generator, answered, request_name):
        assert "videos float [3,4,16,16,1]" in answered[2][request_name]
        videos = output(answered, request_name, "videos", np.float32).reshape(3, *CLIP_SHAPE)
        np.testing.assert_allclose(videos, generator(Z0), rtol=0, atol=1e-6)
        frame_latents = output(answered, request_name, "frame_latents", np.float32)
        np.testing.assert_allclose(
            frame_latents.reshape(3, 4, -1), generator.frame_latents(Z0), rtol=0, atol=1e-6
        )

    def test_makes_the_videos_of_seeds(self, generator, answered):
        z0 = np.concatenate([latents(int(seed), 1, Z0_DIM) for seed in SEEDS])
        expected = rendering.to_uint8(generator(z0).numpy()).astype(int)
        videos = output(answered, "of seeds", "videos", np.uint8).reshape(expected.shape)
        # A value half-way between two, rounded either way, may differ by 1.
        assert np.abs(videos - expected).max() <= 1
        assert np.mean(videos != expected) < 0.01

    def test_makes_the_same_frames_encoded(self, answered):
        data = output(answered, "encoded", "frames_bytes", np.uint8).tobytes()
        frames = []
        while data:
            end = 8 + int.from_bytes(data[:8], "little")
            frames.append(tf.io.decode_png(data[8:end]).numpy())
            data = data[end:]
        videos = output(answered, "of seeds", "videos", np.uint8)
        np.testing.assert_array_equal(np.ravel(frames), videos)

    @pytest.mark.parametrize(
        "request_name, lines",
        {
            "no z0": ["frame_latents float [0,4,5]", "videos float [0,4,16,16,1]"],
            "no seeds": ["videos uint8 [0,4,16,16,1]"],
            "nothing encoded": ["frames_bytes string [0,4]"],
            "no factors": ["num_frames int64 [0]", "videos float [0,4,16,16,1]"],
            "no walks": ["videos uint8 [0,8,4,16,16,1]"],
        }.items(),
    )
    def test_answers_an_empty_batch_by_an_empty_result(self, answered, request_name, lines):
        assert sorted(answered[2][request_name]) == lines

    @pytest.mark.parametrize(
        "request_name, said",
        {
            "short z0": "serving_default_z0_0_0 [3,5] is not compatible with expected shape [?,6]",
            "flat z0": "serving_default_z0_0_0 [6] is not compatible with expected shape [?,6]",
            "NaN": "z0 holds a NaN",
            "seeds in a column": "generate_seed_0_0 [3,1] is not compatible with",
            "factor 0": "factor must be from 1 to 16, but is] [1 2 0]",
            "no end": "'latent_walk_end_seed' with dtype int64",
            # Refused before the graph is run, by a function that does not know the input's name.
            "double z0": "to be float but double is provided",
            "float seeds": "to be int64 but float is provided",
        }.items(),
    )
    def test_refuses_what_it_cannot_use_and_says_so(self, answered, request_name, said):
        (line,) = answered[2][request_name]
        assert line.startswith("error: INVALID_ARGUMENT: ")
        assert said in line

    def test_refuses_inputs_of_different_lengths(self, answered):
        (line,) = answered[2]["one end"]
        assert line.startswith("error: INVALID_ARGUMENT: ")
        assert "start_seed and end_seed must be of one length, but are of] [3] [0]" in line

    def test_ends_by_saying_that_not_all_could_be_answered(self, answered):
        assert answered[0] == 3


class TestOpenVINO:
    @pytest.fixture
    def python(self):
        own = Path(sys.prefix, "openvino", "bin", "python")  # where make has it
        python = os.environ.get("OPENVINO_PYTHON", str(own))
        if shutil.which(python) is None:
            pytest.skip(
                f"no OpenVINO at {python}: make test installs it there; or name a Python that has "
                "it by OPENVINO_PYTHON"
            )
        return python

    def test_makes_the_generator_s_videos(self, python, generator, exported, tmp_path):
        np.save(tmp_path / "z0.npy", Z0)
        script = HERE / "serving" / "openvino_runtime.py"
        arguments = [exported, tmp_path / "z0.npy", tmp_path / "videos.npy"]
        subprocess.run([python, script, *arguments], check=True)
        videos = np.load(tmp_path / "videos.npy")
        np.testing.assert_allclose(videos, generator(Z0), rtol=0, atol=1e-5)
