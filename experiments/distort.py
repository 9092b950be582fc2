"""Distorts real clips more and more, and shows what a metric says: does it notice?

    python experiments/distort.py --metrics=fvd512,kvd512 --output=distortions.png

This is the check of FVD's own paper (Unterthiner et al. 2018): a metric that is to be trusted with
generated clips grows with the noise, the blur or the disorder of real ones. Prints a table and
draws a panel for each distortion.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import command_line
import data_flags
import evaluation_flags
from absl import flags

from tgan_tf.errors import InputError
from tgan_tf.evaluation import records
from tgan_tf.evaluation.distortions import DISTORTIONS, DistortedClips
from tgan_tf.evaluation.metrics import METRICS, parse

FLAGS = flags.FLAGS

data_flags.define_videos(path_flag="real_data")
data_flags.define_clips()
flags.adopt_module_key_flags(data_flags)
evaluation_flags.define_extractor()
flags.adopt_module_key_flags(evaluation_flags)
flags.DEFINE_list(
    "metrics", ["fvd512"], f"What is measured, {evaluation_flags.metrics_help(with_critic=False)}."
)
flags.DEFINE_string("output", "distortions.png", "PNG of the plot; must not exist yet.")
flags.DEFINE_integer("seed", 0, "Of the clips and the distortions.")


def main(_) -> None:
    output = Path(FLAGS.output)
    if output.exists():
        raise InputError(f"{output} exists: give another --output")
    requests = parse(FLAGS.metrics, FLAGS.frames)
    for request in requests:
        if METRICS[request.metric].column == "scores":
            raise InputError(f"--metrics={request.metric}: needs a critic, use evaluate.py")
    corpus = data_flags.open_data("real_data")
    panels, rows = [], [["metric", "distortion", "level", "value"]]
    with tempfile.TemporaryDirectory() as directory:
        evaluation = evaluation_flags.make_evaluation(corpus, Path(directory))
        for name, (_, levels, unit) in DISTORTIONS.items():
            curves = {}
            for level in levels:
                # Of other real clips, so that the first level is not zero by identity.
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
    command_line.run(main)
