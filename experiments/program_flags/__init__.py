"""The flags of the programs, and how a program begins and ends.

Import it before TensorFlow: it sets, as `tgan_tf` does, what TensorFlow reads when it is loaded. A
program in a folder of its own puts the directory of this package on the path first.
"""

from __future__ import annotations

import logging
import os
import warnings

# Without these the first pages a user sees are TensorFlow's.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
logging.getLogger("tensorflow").setLevel(logging.ERROR)
# It warns of a server's malformed headers with a traceback.
logging.getLogger("urllib3").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="tensorflow|keras|tensorflow_addons|tensorflow_io")
