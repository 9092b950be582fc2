"""TF_CONFIG: who trains together, and what is refused."""

import json
import socket

import pytest
from clusters import addresses, tf_config

from tgan_tf.cluster import from_tf_config, listening
from tgan_tf.errors import InputError

PAIR = {"worker": ["a:1", "b:2"]}


def config(cluster, job="worker", index=0, **more):
    return json.dumps({"cluster": cluster, "task": {"type": job, "index": index}, **more})


def test_workers_come_in_their_order_and_worker_0_is_the_chief():
    found = from_tf_config(config(PAIR, index=1))
    assert (found.tasks, found.addresses) == (("worker 0", "worker 1"), ("a:1", "b:2"))
    assert (found.index, found.size, found.name(1)) == (1, 2, "worker 1 (b:2)")


def test_a_chief_comes_before_the_workers_as_vertex_ai_and_kubeflow_set_it():
    cluster = {"worker": ["b:2", "c:3"], "chief": ["a:1"], "evaluator": ["d:4"]}
    found = from_tf_config(config(cluster, index="1", environment="cloud"))
    assert found.tasks == ("chief 0", "worker 0", "worker 1")
    assert found.index == 2
    assert from_tf_config(config(cluster, "chief")).index == 0


@pytest.mark.parametrize("text", ["", "{}", '{"cluster": {}}', '{"cluster": {"worker": []}}'])
def test_what_names_no_worker_is_no_cluster(text):
    assert from_tf_config(text) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("worker", "does not describe a cluster"),
        ("[1]", "does not describe a cluster"),
        (config({"worker": "a:1"}), "the tasks of worker must be a list"),
        (config({"worker": ["a:1", 2]}), "the tasks of worker must be a list"),
        (config({"worker": ["a:1", "b"]}), "the address of worker 1 is 'b', not HOST:PORT"),
        (config({"worker": ["a:1", "b:0"]}), "the address of worker 1 is 'b:0'"),
        (config({"worker": ["a:1", "b:70000"]}), "the address of worker 1 is 'b:70000'"),
        (config({"worker": ["a:1", "a:1"]}), "two tasks have the address a:1"),
        (config({"chief": ["a:1"], "worker": ["a:1"]}, "chief"), "two tasks have the address a:1"),
        (config({"chief": ["a:1", "b:2"]}, "chief"), "more than one chief"),
        (config({"worker": ["a:1"], "ps": ["b:2"]}), "has the job 'ps'"),
        (config(PAIR, index=2), "its task is worker 2, and its cluster has worker 0, worker 1"),
        (config(PAIR, index=-1), "its task is worker -1"),
        (config(PAIR, "evaluator"), "its task is evaluator 0"),
        (config(PAIR, "chief"), "its task is chief 0"),
        (json.dumps({"cluster": PAIR}), "has no task with a type and an index"),
    ],
)
def test_what_is_malformed_is_refused(text, why):
    with pytest.raises(InputError) as refusal:
        from_tf_config(text)
    message = str(refusal.value)
    assert message.startswith(f"TF_CONFIG={text}: ")
    assert why in message
    assert "docs/several_machines.md" in message


def test_a_port_in_use_is_refused_though_its_holder_would_share_it():
    with socket.socket() as other:
        # As TensorFlow's servers have it.
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(InputError, match=f"the port of this task, {address}, is in use"):
            listening(address)


def test_what_the_tests_set_is_read_by_tensorflow_as_it_is_here():
    import tensorflow as tf

    tasks = addresses(2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TF_CONFIG", tf_config(tasks, 1))
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
        task, cluster = (
            f"{resolver.task_type} {resolver.task_id}",
            resolver.cluster_spec().as_dict(),
        )
    found = from_tf_config(tf_config(tasks, 1))
    assert cluster == {"worker": list(found.addresses)}
    assert task == found.tasks[found.index]
