"""The files of docs/cluster.md: what Ray's launcher demands, and what a RayCluster must name."""

import json
import re
import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ray.scripts.scripts import start
from ruamel.yaml import YAML

CLUSTER = Path(__file__).parents[1] / "examples" / "cluster"
DOCUMENT = Path(__file__).parents[1] / "docs" / "cluster.md"


def load(name: str) -> list[Any]:
    return list(YAML(typ="safe", pure=True).load_all((CLUSTER / name).read_text()))


def test_the_launcher_takes_its_file() -> None:
    (config,) = load("ray-cluster.yaml")
    spec = find_spec("ray.autoscaler")
    assert spec is not None
    assert spec.origin is not None
    jsonschema.validate(config, json.loads(Path(spec.origin).with_name("ray-schema.json").read_text()))
    assert config["max_workers"] == len(config["provider"]["worker_ips"])


def starts() -> list[str]:
    (config,) = load("ray-cluster.yaml")
    commands = [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]
    return [
        line
        for line in (*commands, *re.findall(r"^\$ (.*)", DOCUMENT.read_text(), re.MULTILINE))
        if "ray start" in line
    ]


@pytest.mark.parametrize("command", starts())
def test_ray_start_knows_the_options(command: str) -> None:
    assert len(starts()) == 4
    words = shlex.split(command, comments=True)
    given = words[next(i for i, word in enumerate(words) if word == "start") + 1 :]
    known = {name for parameter in start.params for name in parameter.opts}
    assert {word.partition("=")[0] for word in given} <= known
    if "nas/bin" in command:
        assert "RAY_AUTH_MODE=token" in words


def test_the_ray_cluster_of_kuberay_keeps_its_token_in_a_secret_and_its_ports_to_itself() -> None:
    cluster, claim, policy = load("kuberay.yaml")
    assert (cluster["apiVersion"], cluster["kind"]) == ("ray.io/v1", "RayCluster")
    groups = [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]
    for group in groups:
        (container,) = group["template"]["spec"]["containers"]
        assert all(isinstance(value, str) for value in group["rayStartParams"].values()), "KubeRay takes strings alone"
        env = {one["name"]: one for one in container["env"]}
        assert env["RAY_AUTH_MODE"]["value"] == "token"
        assert env["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"]
        assert env["NAS_STORAGE"]["valueFrom"]["secretKeyRef"]
        assert env["NAS_RAY_ADDRESS"]["value"] == f"{cluster['metadata']['name']}-head-svc:6379"
        (volume,) = group["template"]["spec"]["volumes"]
        assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"]}
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"], "all nodes write weights"
    assert policy["spec"]["podSelector"] == policy["spec"]["ingress"][0]["from"][0]["podSelector"]
    assert policy["spec"]["podSelector"]["matchLabels"] == {"ray.io/cluster": cluster["metadata"]["name"]}
