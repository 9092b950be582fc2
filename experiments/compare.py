"""Compares runs: their metrics in one table and one plot, and each judged by the others' critics.

    python experiments/compare.py runs/a runs/b runs/c --output_dir=comparison

The metrics are those that evaluate.py has written to each run. comparison.md has the tables: the
last value of each metric, and the Generative Adversarial Metric of each pair of runs on the same
data (Im et al. 2016; the paper compares its models on Moving MNIST with it). comparison.png shows
each metric over the steps.
"""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path

from program_flags import checked_flags, command_line, data_flags, evaluation_flags

import numpy as np
from absl import flags

from tgan_tf import runs
from tgan_tf.data import storage
from tgan_tf.errors import InputError
from tgan_tf.evaluation import records
from tgan_tf.evaluation.clip_sets import ClipSet, GeneratedClips
from tgan_tf.evaluation.estimate import Estimate
from tgan_tf.evaluation.generative_adversarial_metric import GAM, Scores, critic_scores
from tgan_tf.models.network import CriticNetwork

FLAGS = flags.FLAGS

ERROR_RATES = {
    "test_error_first": "e(D1(test))",
    "test_error_second": "e(D2(test))",
    "samples_error_first": "e(D1(G2(z)))",
    "samples_error_second": "e(D2(G1(z)))",
}

data_flags.define_videos(path_flag="real_data")
data_flags.define_clips()
checked_flags.output_directory(
    "output_dir", "comparison", "Directory for comparison.md and comparison.png, made if missing."
)
flags.DEFINE_bool("gam", True, "Judge the runs' newest checkpoints by each other's critics.")
checked_flags.integer(
    "gam_clips",
    GAM.num_clips,
    "Clips of each kind that a critic judges; four times as many determine its threshold.",
    at_least=2,
    at_most=10**6,
)
checked_flags.integer(
    "seed", 0, "Seed of the latents, and of the real clips' windows and order.", at_least=0
)


def main(arguments: list[str]) -> None:
    for path in filter(storage.is_remote, arguments[1:]):
        raise InputError(f"{path}: must be a local path: copy it to a folder first")
    run_dirs = list(dict.fromkeys(Path(path) for path in arguments[1:]))
    if len(run_dirs) < 2:
        raise InputError("give at least two run directories: compare.py runs/a runs/b")
    for path in run_dirs:
        if not path.is_dir():
            raise InputError(f"{path}: no such directory: give the --run_dir of a training")
    names = labels(run_dirs)
    networks = {names[path]: runs.load_networks(path) for path in run_dirs} if FLAGS.gam else {}
    found = {}
    for path in run_dirs:
        file = path / "evaluation" / records.FILE
        found[names[path]] = records.read(file) if file.exists() else []
        if not found[names[path]]:
            warnings.warn(
                f"{path}: is not evaluated yet: evaluate.py --run_dir={path} makes its metrics",
                stacklevel=2,
            )
    text = ["# Comparison", ""]
    panels, lines = metrics(found)
    text += lines
    if FLAGS.gam:
        text += gam(run_dirs, networks)
    output_dir = Path(FLAGS.output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    storage.write(str(output_dir / "comparison.md"), ("\n".join(text) + "\n").encode())
    print("\n".join(text[2:]))
    print(f"\ntables: {output_dir / 'comparison.md'}")
    if panels:
        records.plot(output_dir / "comparison.png", panels)
        print(f"plot: {output_dir / 'comparison.png'}")


def labels(run_dirs: list[Path]) -> dict[Path, str]:
    """A label for each run: its directory's name, or the whole path if two names are equal."""
    names = [path.name for path in run_dirs]
    return {path: path.name if names.count(path.name) == 1 else str(path) for path in run_dirs}


def metrics(found: dict[str, list[dict]]) -> tuple[list, list[str]]:
    """The panels to plot and the lines of the table, from runs' records."""
    of_checkpoints = {
        run: [record for record in kept if record["of"] == "checkpoint"]
        for run, kept in found.items()
    }
    # The newest record of each metric determines its protocol.
    every = [record for kept in of_checkpoints.values() for record in kept]
    every.sort(key=lambda record: record.get("date", ""))
    newest = {record["metric"]: record for record in every}
    panels, rows, others = [], [], False
    for metric, like in newest.items():
        row, curves = [metric], {}
        for run, kept in of_checkpoints.items():
            alike = records.same_protocol(kept, like)
            own = alike or [record for record in kept if record["metric"] == metric]
            others |= bool(own) and not alike
            # The last record of the last step, since max returns the first of several.
            last = max(reversed(own), key=lambda record: record["step"], default=None)
            cell = f"{records.shown(last)} (step {last['step']})" if last else ""
            row.append(cell if alike or not own else f"{cell} (*)")
            if alike:
                curves[run] = records.curve(alike)
        kept = itertools.chain.from_iterable(found.values())
        real = [one for one in records.same_protocol(list(kept), like) if one["of"] == "real"]
        panels.append(records.Panel(metric, curves, real[-1] if real else None))
        rows.append([*row, records.shown(real[-1] if real else None)])
    if not rows:
        return [], ["No metrics yet: `python experiments/evaluate.py --run_dir=...` makes them."]
    lines = [records.table([["metric", *found, "real clips"], *rows])]
    if others:
        lines += [
            "",
            "(*) evaluated with other real clips or another extractor than the newest record of "
            "its row: not comparable, and not in the plot; evaluate the run again.",
        ]
    return panels, lines


def gam(run_dirs: list[Path], networks: dict) -> list[str]:
    """The lines of the Generative Adversarial Metric's tables."""
    first = run_dirs[0]
    data_flags.take_from_run(first, "real_data")
    lines = ["", "## Generative Adversarial Metric", ""]
    shapes = {generator.clip_shape for generator, _, _ in networks.values()}
    data = [data_flags.flags_of_run(path, "real_data") for path in run_dirs]
    if len(shapes) > 1 or any(other != data[0] for other in data):
        return [*lines, "The runs have different data: their critics cannot judge each other."]
    if any(critic.num_classes for _, critic, _ in networks.values()):
        return [*lines, "A run is conditional: its critic cannot judge clips without classes."]
    corpus = data_flags.open_data("real_data")
    real = evaluation_flags.clips_of(corpus, "train", "random", FLAGS.seed)
    test, test_draw = real, 1
    if corpus is None or "test" in corpus.subsets:
        test, test_draw = evaluation_flags.clips_of(corpus, "test", "random", FLAGS.seed), 0
    steps = ", ".join(f"{name} at step {step}" for name, (_, _, step) in networks.items())
    return [
        *lines,
        *gam_tables(list(networks), scores_of_pairs(networks, real, test, test_draw)),
        "",
        "A run's row against another: below 1 its generator fools the other's critic more often "
        "than the other's fools its own; this counts only if r_test, the ratio of errors on test "
        f"clips, is about 1. A ratio is – if the second critic makes no errors. {FLAGS.gam_clips} "
        f"clips of each kind; {steps}. D1 and G1 belong to the first run named.",
    ]


def scores_of_pairs(
    networks: dict, real: ClipSet, test: ClipSet, test_draw: int
) -> dict[tuple[str, str], Scores]:
    """The scores of each run's critic against each rival, by both names."""
    scores = {}
    # The threshold is set with more clips, since the errors do not include its noise.
    count, many = FLAGS.gam_clips, 4 * FLAGS.gam_clips
    for name, (own, critic, _) in networks.items():
        own_fakes = scored(critic, GeneratedClips(own, FLAGS.seed), many)
        of_real = scored(critic, real, many)
        of_test = scored(critic, test, count, test_draw)
        for rival, (generator, _, _) in networks.items():
            if rival != name:
                fakes = scored(critic, GeneratedClips(generator, FLAGS.seed), count)
                scores[name, rival] = Scores(
                    own_fakes=own_fakes, real=of_real, rival_fakes=fakes, test=of_test
                )
    return scores


def gam_tables(names: list[str], scores: dict[tuple[str, str], Scores]) -> list[str]:
    """A table of every run against every other, and one of the error rates of each pair."""
    judged = {
        (one, other): GAM.compute(first=scores[one, other], second=scores[other, one])
        for one, other in scores
    }
    matrix = [["r_samples (r_test)", *(f"against {name}" for name in names)]]
    for one in names:
        cells = ["" if one == other else ratios(judged[one, other]) for other in names]
        matrix.append([one, *cells])
    rows = [["D1 – D2", *ERROR_RATES.values(), "winner"]]
    for one, other in itertools.combinations(names, 2):
        result = judged[one, other]
        winner = {"first": one, "second": other}.get(result["winner"], result["winner"])
        rows.append([f"{one} – {other}", *(shown(result[rate]) for rate in ERROR_RATES), winner])
    return [records.table(matrix), "", records.table(rows)]


def ratios(result: dict) -> str:
    """Both ratios of two runs, as in "0.81 ± 0.05 (1.02 ± 0.04)"."""
    return f"{shown(result['r_samples'])} ({shown(result['r_test'])})"


def shown(estimate: Estimate | None) -> str:
    """Formats an estimate; a ratio to an error rate of 0 is missing."""
    return "–" if estimate is None else records.shown(estimate._asdict())


def scored(critic: CriticNetwork, clips: ClipSet, count: int, draw: int = 0) -> np.ndarray:
    """A critic's scores of `count` clips, or of all if there are fewer."""
    return critic_scores(critic, clips.batches(min(count, clips.num_clips or count), draw))


if __name__ == "__main__":
    command_line.run(main, takes_paths=True)
