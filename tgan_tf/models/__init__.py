"""The networks of TGAN, one a file."""

from tgan_tf.models.critic import Critic
from tgan_tf.models.image_generator import ImageGenerator
from tgan_tf.models.temporal_generator import TemporalGenerator
from tgan_tf.models.video_generator import VideoGenerator

__all__ = ["Critic", "ImageGenerator", "TemporalGenerator", "VideoGenerator"]
