"""`nas cost` as a person and as a script see it."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from nas.measured import measure_latencies
from search_spaces import Architecture
from search_spaces.zoo import make_network
from tests.conftest import NAS, environment, run_nas
from trials.device_lock import training_on
from trials.latency import Latency

KEYS = {"params", "macs", "flops", "activation_elements", "peak_activation_elements", "convention"}


def cost(folder: Path, *arguments: str) -> Any:
    done = run_nas(folder, "cost", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_json(tmp_path: Path) -> None:
    found = cost(tmp_path, "resnet18", "--per-layer", "--convention", "torch", "--convention", "fvcore")
    assert found.keys() >= KEYS
    assert (found["params"], found["macs"]) == (11_689_512, 1_814_073_344)
    assert found["convention"] == {"nas": found["macs"], "torch": 2 * found["macs"], "fvcore": 1_819_065_856}
    assert found["flops"] == found["macs"] + 1000  # the classifier's bias; the convs have none
    assert sum(layer["params"] for layer in found["layers"]) == found["params"]
    assert sum(layer["macs"] for layer in found["layers"]) == found["macs"]
    assert max(layer["activation_elements"] for layer in found["layers"]) == found["activation_elements"]
    fields = {layer["name"]: layer["receptive_field"] for layer in found["layers"]}
    assert list(fields.values())[:5] == [7, 7, 7, 11, 19]  # conv 7x7/2, its norm and relu, max pool 3x3/2, conv 3x3


def test_widths_and_images(tmp_path: Path) -> None:
    # NeuralScale's reference: uniform 0.25 of VGG11 on CIFAR-10, and the authors' own widths
    quarter = cost(tmp_path, "vgg11", "--width", "0.25")
    assert (quarter["params"], quarter["macs"]) == (579_786, 9_880_832)
    chosen = cost(tmp_path, "vgg11", "--widths", "55,108,148,130,100,57,32,74")
    assert (chosen["params"], chosen["macs"]) == (580_851, 38_339_876)
    assert [group["width"] for group in chosen["width_groups"]] == [55, 108, 148, 130, 100, 57, 32, 74]
    assert chosen["width_groups"][0] == {"name": "conv1", "width": 55, "layers": ["conv1"], "divisor": 1}
    other = cost(tmp_path, "resnet18", "--resolution", "96", "--classes", "10", "--channels", "1")
    assert (other["resolution"], other["channels"], other["output"]) == (96, 1, [10])
    assert other["params"] == 11_689_512 - 990 * 513 - 2 * 64 * 49


def test_the_table(tmp_path: Path) -> None:
    done = run_nas(tmp_path, "cost", "lenet", "--per-layer", "--convention", "all", "--latency")
    assert done.returncode == 0
    for text in (
        "289,570",
        "as ptflops counts",
        "latency of a batch of 1: median ",
        "latency of a batch of 100: median ",
        "cpu, threads: 1",
        "3 width groups: 10,10,50",
    ):
        assert text in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_latency(tmp_path: Path) -> None:
    (found,) = cost(tmp_path, "lenet", "--latency", "--batch-size", "4")["latency"]
    assert 0 < found["lowest_ms"] <= found["median_ms"]
    assert found["lowest_ms"] <= found["mean_ms"]
    assert (found["batch_size"], found["device"], found["warm_up"], found["measured"]) == (4, "cpu", 20, 80)
    single, paper = cost(tmp_path, "lenet", "--latency")["latency"]
    assert (single["batch_size"], paper["batch_size"]) == (1, 100)
    assert single["median_ms"] < paper["lowest_ms"]


def test_latency_waits_for_jobs_and_says_so(tmp_path: Path) -> None:
    command = [NAS, "cost", "lenet", "--latency", "--batch-size", "1"]
    with training_on("cpu"):
        measuring = subprocess.Popen(
            command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert measuring.stderr is not None
        assert measuring.stderr.readline().startswith("waiting for the jobs that run on cpu")
        assert measuring.poll() is None
    output, errors = measuring.communicate(timeout=60)
    assert (measuring.returncode, errors) == (0, "")
    assert "latency of a batch of 1: median " in output


def test_long_measurements_are_announced(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def slow(architecture: Architecture, *, batch_size: int, device: str, on_wait: object) -> Latency:
        del architecture, on_wait
        return Latency(
            median_ms=6.0, mean_ms=6.0 * batch_size, lowest_ms=6.0, batch_size=batch_size, device=device, threads=1,
            warm_up=20, measured=80,
        )  # fmt: skip

    monkeypatch.setattr("nas.measured.measure_latency", slow)
    assert [one.batch_size for one in measure_latencies(make_network("lenet"), None, "cpu")] == [1, 100]
    line = "measuring batches of 100 takes about 1 min 0 s; --batch-size 1 leaves it out\n"
    assert capsys.readouterr().err == line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnet18", "--widths", "64,64"], "there must be 12 widths (stem=64, "),
        (
            ["vgg11", "--widths", "0,1,1,1,1,1,1,1"],
            "width of conv1 must be an integer of at least 1, at most 2^24, but got 0",
        ),
        (
            ["vgg11", "--widths", "1,1,1,1,1,1,1,-8"],
            "width of conv8 must be an integer of at least 1, at most 2^24, but got -8",
        ),
        (["vgg11", "--widths", "a,b"], "--widths must be integers joined by commas, as in 64,128,256, but got 'a,b'"),
        (["vgg11", "--width", "0"], "a width multiplier must be positive, but got 0.0"),
        (["vgg11", "--width", "1", "--widths", "1"], "only one of --width and --widths may be given"),
        (["vgg11", "--resolution", "8"], "node 'pool6': pool: the kernel must fit into the padded input"),
        (["vgg11", "--resolution", "0"], "resolution must be at least 1 and at most 2^24, but is 0"),
        (["vgg11", "--classes", "-1"], "classes must be at least 1 and at most 2^24, but is -1"),
        (["vgg11", "--batch-size", "8"], "--batch-size and --device are for --latency, which is not asked for"),
        (["vgg", "--resolution", "32"], "a network must be one of lenet, vgg11, "),
        (["vgg11", "--convention", "calflops"], "convention must be one of nas, fvcore, "),
        (["vgg11", "--latency", "--batch-size", "0"], "the batch size must be at least 1, but is 0"),
        (["vgg11", "--latency", "--device", "tpu"], "the device must be one that torch has, such as cpu or cuda"),
        (["torchvision:vit_b_16"], "encoder.layers.encoder_layer_0.self_attention: MultiheadAttention is no layer"),
        (["module:a.b:c", "--resolution", "32"], "code of your own runs only when allowed"),
    ],
)
def test_one_clear_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = run_nas(tmp_path, "cost", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_widths_that_groups_do_not_divide(tmp_path: Path) -> None:
    widths = ["64", *["100"] * 36]
    done = run_nas(tmp_path, "cost", "torchvision:resnext50_32x4d", "--widths", ",".join(widths))
    assert done.returncode == 2
    assert "must be a multiple of 32, as its layers part it in groups, but got 100" in done.stderr
