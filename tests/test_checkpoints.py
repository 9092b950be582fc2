"""Checkpoints: whole or not there, damaged ones passed over."""

import resource

import numpy as np
import pytest
import tensorflow as tf
from tiny_tgan import make_tgan, weights

from tgan_tf import checkpoints
from tgan_tf.errors import InputError
from tgan_tf.models import VideoGenerator


@pytest.fixture(scope="module")
def tgan():
    return make_tgan()


def set_weights(tgan, value):
    for variable in tgan.generator.variables + tgan.critic.variables:
        variable.assign(np.full(variable.shape, value))


def damage(path, how):
    data = path / "tgan.data-00000-of-00001"
    if how == "truncated":
        data.write_bytes(data.read_bytes()[:100])
    elif how == "flipped":
        content = bytearray(data.read_bytes())
        content[len(content) // 2] ^= 0xFF
        data.write_bytes(content)
    elif how == "no data":
        data.unlink()
    elif how == "index":
        (path / "tgan.index").write_bytes(b"not an index")
    elif how == "means":
        (path / "means.json").write_bytes(b"\xff{")


@pytest.mark.slow
def test_a_checkpoint_brings_back_weights_optimisers_and_step(tgan, tmp_path):
    set_weights(tgan, 0.25)
    tgan.critic_optimizer.iterations.assign(7)
    checkpoints.save(tgan, tmp_path, 7)
    other = make_tgan(seed=5)
    assert checkpoints.restore(other, tmp_path) == 7
    assert int(other.critic_optimizer.iterations) == 7
    for value in weights(other.generator).values():
        np.testing.assert_array_equal(value, 0.25)


@pytest.mark.slow
def test_the_last_k_are_kept(tgan, tmp_path):
    for step in (5, 10, 100, 20):
        checkpoints.save(tgan, tmp_path, step, keep=2)
    assert checkpoints.steps(tmp_path) == [20, 100]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["truncated", "flipped", "no data", "index", "means"])
def test_a_damaged_checkpoint_is_passed_over_with_a_warning(tgan, tmp_path, how):
    set_weights(tgan, 0.5)
    checkpoints.save(tgan, tmp_path, 1)
    set_weights(tgan, 0.75)
    damage(checkpoints.save(tgan, tmp_path, 2), how)
    with pytest.warns(UserWarning, match="step-2: damaged checkpoint skipped"):
        assert checkpoints.restore(tgan, tmp_path) == 1
    for value in weights(tgan.generator).values():
        np.testing.assert_array_equal(value, 0.5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*damaged checkpoint")
def test_when_all_are_damaged_nothing_is_trained_over_them(tgan, tmp_path):
    damage(checkpoints.save(tgan, tmp_path, 1), "truncated")
    with pytest.raises(InputError, match="none of its checkpoints can be read"):
        checkpoints.restore(tgan, tmp_path)


@pytest.mark.slow
def test_no_checkpoint_is_no_error(tgan, tmp_path):
    assert checkpoints.restore(tgan, tmp_path / "none") is None


@pytest.mark.slow
def test_a_full_disk_leaves_the_earlier_checkpoints_and_nothing_else(tgan, tmp_path):
    checkpoints.save(tgan, tmp_path, 1)
    before = sorted(tmp_path.rglob("*"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(InputError, match="step-2: the checkpoint could not be written"):
            checkpoints.save(tgan, tmp_path, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_a_checkpoint_holds_the_variables_of_networks_and_optimisers_and_no_more(tgan, tmp_path):
    path = checkpoints.save(tgan, tmp_path, 1)
    reader = tf.train.load_checkpoint(str(path / "tgan"))
    names = set(reader.get_variable_to_shape_map()) - {"_CHECKPOINTABLE_OBJECT_GRAPH"}
    for part in ("generator", "critic"):
        network = getattr(tgan, part)
        own = {name for name in names if name.startswith(f"tgan/{part}/")}
        assert len(own) == len(network.variables)
        # RMSprop has a velocity a weight, the step count and the learning rate.
        own |= {name for name in names if name.startswith(f"tgan/{part}_optimizer/")}
        assert len(own) == len(network.variables) + len(network.trainable_variables) + 2
        names -= own
    assert not names


@pytest.mark.slow
def test_the_sums_of_a_report_come_back(tgan, tmp_path):
    tgan.critic_loss.update_state([0.1, 0.3])
    checkpoints.save(tgan, tmp_path, 1)
    expected = tgan.critic_loss.result().numpy()
    tgan.reset_metrics()
    checkpoints.restore(tgan, tmp_path)
    assert tgan.critic_loss.result().numpy() == expected
    assert tgan.critic_loss.count.numpy() == 2
    tgan.reset_metrics()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lr=[1e-4,2e-4]", "a\\b", "what?*{x}"])
def test_a_path_with_wildcards_in_it_is_read_as_it_stands(tgan, tmp_path, name):
    directory = tmp_path / name
    set_weights(tgan, 0.125)
    checkpoints.save(tgan, directory, 1)
    set_weights(tgan, 0.5)
    # What a pattern would find.
    checkpoints.save(tgan, tmp_path / "what??{x}", 1)
    assert checkpoints.restore(tgan, directory) == 1
    for value in weights(tgan.generator).values():
        np.testing.assert_array_equal(value, 0.125)


@pytest.mark.slow
def test_a_checkpoint_that_its_training_deletes_meanwhile_is_no_damaged_one(
    tgan, tmp_path, monkeypatch, recwarn
):
    checkpoints.save(tgan, tmp_path, 1)
    listed = checkpoints.steps

    def steps_and_then_training_goes_on(directory):
        found = listed(directory)
        if found == [1]:
            checkpoints.save(tgan, tmp_path, 2, keep=1)
        return found

    monkeypatch.setattr(checkpoints, "steps", steps_and_then_training_goes_on)
    assert checkpoints.restore_networks(tmp_path, generator=tgan.generator) == 2
    assert not [one for one in recwarn if "damaged" in str(one.message)]


@pytest.mark.slow
def test_other_networks_are_refused_and_none_is_passed_over(tgan, tmp_path, recwarn):
    checkpoints.save(tgan, tmp_path, 1)
    checkpoints.save(tgan, tmp_path, 2)
    other = VideoGenerator(4, 16, 1, 6, 4, temporal_filters=8, image_filters=8)
    with pytest.raises(
        InputError, match="step-2: belongs to other networks or optimisers"
    ) as error:
        checkpoints.restore_networks(tmp_path, generator=other)
    assert "away" not in str(error.value)
    assert not [one for one in recwarn if "damaged" in str(one.message)]


@pytest.mark.slow
def test_old_ones_are_pruned_but_for_what_was_resumed_from(tgan, tmp_path):
    for step in (1, 2, 3, 4, 5):
        (tmp_path / f"step-{step}").mkdir()
    checkpoints.prune(tmp_path, keep=2, newest=3)
    assert checkpoints.steps(tmp_path) == [2, 3, 4, 5]


@pytest.mark.slow
def test_a_half_written_checkpoint_is_not_seen(tgan, tmp_path):
    checkpoints.save(tgan, tmp_path, 1)
    (tmp_path / ".step-2.unfinished-abcdefgh").mkdir()
    (tmp_path / "step-x").mkdir()
    assert checkpoints.steps(tmp_path) == [1]


@pytest.mark.slow
@pytest.mark.parametrize("names", [["generator"], ["critic"], ["generator", "critic"]])
def test_some_of_the_networks_are_restored_at_a_step(tgan, tmp_path, names):
    for step, value in ((1, 0.1), (2, 0.2)):
        set_weights(tgan, value)
        checkpoints.save(tgan, tmp_path, step)
    other = make_tgan(seed=3)
    networks = {name: getattr(other, name) for name in names}
    assert checkpoints.restore_networks(tmp_path, 1, **networks) == 1
    for network in networks.values():
        for value in weights(network).values():
            np.testing.assert_array_equal(value, np.float32(0.1))
    assert checkpoints.restore_networks(tmp_path, **networks) == 2


@pytest.mark.slow
def test_a_step_that_is_not_there_is_refused_with_those_that_are(tgan, tmp_path):
    with pytest.raises(InputError, match="no checkpoint there"):
        checkpoints.restore_networks(tmp_path, generator=tgan.generator)
    checkpoints.save(tgan, tmp_path, 4)
    with pytest.raises(InputError, match=r"no checkpoint of step 5: there are \[4\]"):
        checkpoints.restore_networks(tmp_path, 5, generator=tgan.generator)
