"""What the files of experiments/distributed/ say, by the schemas of those who read them."""

import importlib
import importlib.resources
import json
import re
from pathlib import Path

import pytest
import yaml

from tgan_tf.cluster import from_tf_config

DISTRIBUTED = Path(__file__).parents[2] / "experiments/distributed"
REPOSITORY = DISTRIBUTED.parents[1]
PRIMITIVES = {"str": str, "int": int, "bool": bool, "float": (int, float), "object": object}


def documents(name):
    return list(yaml.safe_load_all((DISTRIBUTED / name).read_text()))


def check(value, kind, place):
    """Sees that a value is what a class of the generated clients is made of, with no other key."""
    if found := re.fullmatch(r"list\[(.+)\]", kind):
        assert isinstance(value, list), place
        for number, item in enumerate(value):
            check(item, found[1], f"{place}[{number}]")
    elif found := re.fullmatch(r"dict\(str, (.+)\)", kind):
        assert isinstance(value, dict), place
        for key, item in value.items():
            check(item, found[1], f"{place}.{key}")
    elif kind in PRIMITIVES:
        assert isinstance(value, PRIMITIVES[kind]), f"{place}: {value!r} is no {kind}"
    else:
        model = _model(kind)
        names = {key: name for name, key in model.attribute_map.items()}
        assert isinstance(value, dict), place
        assert set(value) <= set(names), f"{place}: {set(value) - set(names)}"
        for key, item in value.items():
            check(item, model.openapi_types[names[key]], f"{place}.{key}")
        # It raises a ValueError where a required entry is missing.
        model(**{names[key]: item for key, item in value.items()})


def _model(kind):
    package = "kubeflow.training" if kind.startswith("KubeflowOrg") else "kubernetes.client"
    return getattr(pytest.importorskip(package), kind)


@pytest.mark.parametrize(
    ("file", "kinds"),
    [("tfjob.yaml", ["KubeflowOrgV1TFJob"]), ("job.yaml", ["V1Service", "V1Job"])],
)
def test_a_manifest_is_what_kubernetes_takes(file, kinds):
    found = documents(file)
    assert len(found) == len(kinds)
    for document, kind in zip(found, kinds):
        check(document, kind, kind)


def test_a_misspelt_entry_and_a_missing_one_are_found():
    (job,) = documents("tfjob.yaml")
    job["spec"]["tfReplicaSpecs"]["Worker"]["replica"] = 2
    with pytest.raises(AssertionError, match="replica"):
        check(job, "KubeflowOrgV1TFJob", "")
    _, job = documents("job.yaml")
    del job["spec"]["template"]["spec"]["containers"][0]["name"]
    with pytest.raises(ValueError, match="name"):
        check(job, "V1Job", "")


def test_the_operator_finds_its_container_and_port_and_the_codes_are_its():
    (job,) = documents("tfjob.yaml")
    worker = job["spec"]["tfReplicaSpecs"]["Worker"]
    (container,) = worker["template"]["spec"]["containers"]
    # Names that the Training Operator asks for; it starts again what ends with 128 or more.
    assert container["name"] == "tensorflow"
    assert {"name": "tfjob-port", "containerPort": 2222} in container["ports"]
    assert worker["restartPolicy"] == "ExitCode"


def test_the_job_has_as_many_pods_as_workers_and_its_service_finds_them():
    service, job = documents("job.yaml")
    spec = job["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    workers = next(entry["value"] for entry in container["env"] if entry["name"] == "WORKERS")
    assert spec["completions"] == spec["parallelism"] == int(workers)
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    assert service["spec"]["clusterIP"] == "None"
    assert pod["subdomain"] == service["metadata"]["name"]


def test_compose_has_two_workers_of_one_cluster_and_is_what_compose_takes():
    (found,) = documents("docker-compose.yml")
    services = found["services"]
    clusters = [from_tf_config(one["environment"]["TF_CONFIG"]) for one in services.values()]
    assert [cluster.index for cluster in clusters] == [0, 1]
    assert clusters[0].addresses == clusters[1].addresses
    assert [address.split(":")[0] for address in clusters[0].addresses] == list(services)
    jsonschema = pytest.importorskip("jsonschema")
    package = pytest.importorskip("check_jsonschema.builtin_schemas")
    schema = importlib.resources.files(package) / "vendor/compose-spec.json"
    jsonschema.validate(found, json.loads(schema.read_text()))


def test_the_dockerfile_copies_what_is_there_and_runs_the_program():
    lines = (DISTRIBUTED / "Dockerfile").read_text().splitlines()
    sources = [
        source for line in lines if line.startswith("COPY ") for source in line.split()[1:-1]
    ]
    assert {"tgan_tf", "experiments", "requirements.txt", "setup.py"} <= set(sources)
    for source in sources:
        assert (REPOSITORY / source).exists(), source
    assert 'ENTRYPOINT ["python", "experiments/train.py"]' in lines


@pytest.mark.parametrize("file", ["tfjob.yaml", "job.yaml", "docker-compose.yml"])
def test_the_flags_and_the_flagfile_are_those_of_the_program(file):
    text = (DISTRIBUTED / file).read_text()
    (flagfile,) = re.findall(r"--flagfile=(\S+)", text)
    assert (REPOSITORY / flagfile).exists()
    assert "--distribution_strategy=multi_worker_mirrored" in text
