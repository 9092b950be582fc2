"""How frames of any size become those of a data set."""

from __future__ import annotations

import numpy as np
import pytest

from tgan_tf.data.recordings import Recipe, recipe
from tgan_tf.errors import InputError


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)


class TestFrameShape:
    def test_of_ucf101_is_the_reference_s_64x85(self):
        assert Recipe("ucf101", 64).frame_shape == (64, 85, 3)

    def test_of_ucf101_keeps_its_proportions_in_another_size(self):
        assert Recipe("ucf101", 128).frame_shape == (128, 170, 3)

    def test_of_center_crop_is_square(self):
        assert Recipe("center_crop", 48).frame_shape == (48, 48, 3)


class TestResized:
    @pytest.mark.parametrize("frame", [(240, 320), (480, 640), (100, 31)])
    def test_by_ucf101_is_the_whole_frame_stretched(self, frame):
        assert Recipe("ucf101", 64).resized(*frame) == (64, 85)

    @pytest.mark.parametrize(
        "frame, resized",
        [
            ((240, 320), (64, 85)),
            ((320, 240), (85, 64)),
            ((64, 64), (64, 64)),
            ((32, 48), (64, 96)),
            ((1081, 1919), (64, 114)),
        ],
    )
    def test_by_center_crop_has_the_shorter_side_at_its_size(self, frame, resized):
        assert Recipe("center_crop", 64).resized(*frame) == resized


class TestApply:
    def test_averages_areas_where_a_frame_becomes_smaller(self):
        frame = noise(128, 128)
        blocks = frame.reshape(64, 2, 64, 2, 3).mean(axis=(1, 3))
        # Pillow rounds after each direction.
        assert np.abs(Recipe("center_crop", 64).apply(frame) - blocks).max() <= 1

    def test_cuts_the_centre_out(self):
        frame = noise(64, 100)
        cut = Recipe("center_crop", 64).apply(frame)
        np.testing.assert_array_equal(cut, frame[:, 18:82])

    def test_leaves_a_frame_of_its_size_as_it_is(self):
        frame = noise(64, 85)
        np.testing.assert_array_equal(Recipe("ucf101", 64).apply(frame), frame)

    @pytest.mark.parametrize("name", ["ucf101", "center_crop"])
    @pytest.mark.parametrize("shape", [(240, 320), (33, 17), (65, 1000), (1, 1)])
    def test_gives_the_shape_it_states(self, name, shape):
        used = Recipe(name, 16)
        assert used.apply(noise(*shape)).shape == used.frame_shape


class TestRecipe:
    def test_of_an_unknown_name_is_refused(self):
        with pytest.raises(InputError, match="recipe='golf': must be one of ucf101, center_crop"):
            recipe("golf", 64)

    def test_of_no_size_is_refused(self):
        with pytest.raises(InputError, match="size=0"):
            recipe("ucf101", 0)
