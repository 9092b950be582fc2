"""Distorts real clips step by step, and shows whether a metric notices.

    python experiments/studies/distort.py --metrics=fvd512,kvd512 --output=distortions.png

This is the check in FVD's own paper (Unterthiner et al. 2018): a trustworthy metric of generated
clips grows with the noise, blur or disorder of real ones. It prints a table and plots a panel for
each distortion.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # of program_flags

from program_flags import checked_flags, command_line, data_flags, evaluation_flags

from absl import flags

from tgan_tf.evaluation import records
from tgan_tf.evaluation.distortions import DISTORTIONS, DistortedClips

FLAGS = flags.FLAGS

data_flags.define_videos(path_flag="real_data")
data_flags.define_clips()
flags.adopt_module_key_flags(data_flags)
evaluation_flags.define_extractor()
flags.adopt_module_key_flags(evaluation_flags)
evaluation_flags.define_metrics("metrics", ["fvd512"], num_critics=0)
checked_flags.new_file(
    "output",
    "distortions.png",
    "PNG file for the plot, which must not exist yet.",
    suffixes=(".png",),
)
checked_flags.integer("seed", 0, "Seed of the clips and the distortions.", at_least=0)


def main(_) -> None:
    output = Path(FLAGS.output)
    requests = evaluation_flags.requests("metrics", FLAGS.frames)
    corpus = data_flags.open_data("real_data")
    panels, rows = [], [["metric", "distortion", "level", "value"]]
    with tempfile.TemporaryDirectory() as directory:
        evaluation = evaluation_flags.make_evaluation(corpus, Path(directory))
        for name, (_, levels, unit) in DISTORTIONS.items():
            curves = {}
            for level in levels:
                # Other real clips, so that the first level is not trivially zero.
                clips = DistortedClips(evaluation.other_real, name, level, FLAGS.seed)
                for result in evaluation(requests, clips, what=f"{name} {level:g}"):
                    points = curves.setdefault(result.name, ([], [], []))
                    value, error, *_ = result.estimate
                    for column, entry in zip(points, (level, value, error or 0.0)):
                        column.append(entry)
                    cell = records.shown(result.estimate._asdict())
                    rows.append([result.name, name, f"{level:g}", cell])
            for metric, points in curves.items():
                panels.append(records.Panel(metric, {name: points}, x=unit))
    print(records.table([rows[0], *sorted(rows[1:], key=lambda row: row[0])]))
    records.plot(output, sorted(panels, key=lambda panel: panel.title))
    print(f"plot: {output}")


if __name__ == "__main__":
    command_line.run(main, flags_of_arguments=evaluation_flags.FLAGS_OF_ARGUMENTS)
