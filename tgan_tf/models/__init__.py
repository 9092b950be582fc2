"""The networks of TGAN and of its variants, one per file."""

from tgan_tf.models.conv3d_generator import Conv3DGenerator
from tgan_tf.models.critic import Critic
from tgan_tf.models.frames_as_channels_critic import FramesAsChannelsCritic
from tgan_tf.models.image_generator import ImageGenerator
from tgan_tf.models.recurrent_temporal_generator import RecurrentTemporalGenerator
from tgan_tf.models.temporal_generator import TemporalGenerator
from tgan_tf.models.two_stream_generator import TwoStreamGenerator
from tgan_tf.models.video_and_frame_critic import VideoAndFrameCritic
from tgan_tf.models.video_generator import VideoGenerator

GENERATORS = {
    "tgan": VideoGenerator,
    "conv3d": Conv3DGenerator,
    "two_stream": TwoStreamGenerator,
}
"""The generators by name."""

CRITICS = {
    "tgan": Critic,
    "frames_as_channels": FramesAsChannelsCritic,
    "video_and_frame": VideoAndFrameCritic,
}
"""The critics by name."""

__all__ = [
    "CRITICS",
    "GENERATORS",
    "Conv3DGenerator",
    "Critic",
    "FramesAsChannelsCritic",
    "ImageGenerator",
    "RecurrentTemporalGenerator",
    "TemporalGenerator",
    "TwoStreamGenerator",
    "VideoAndFrameCritic",
    "VideoGenerator",
]
