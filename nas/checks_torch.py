"""torch, and the GPUs that it finds."""

import math
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from nas.findings import Finding, ok, problem, warning
from nas.ray_spec import joins_cluster
from nas.spec import Spec
from trials.precision import has_amx

DRIVER = Path("/proc/driver/nvidia/version")


def check_torch(spec: Spec | None) -> Iterator[Finding]:
    """Computes on the CPU, and on each GPU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a driver lacks is told below
        yield _check_cpu()
        yield from _check_gpus(spec)


def _check_cpu() -> Finding:
    told = f"{torch.__version__}, {torch.get_num_threads()} threads"
    if not computes(torch.device("cpu")):
        return problem("torch", f"{told}, but it computes wrong numbers", "install torch anew")
    quick = "quick by AMX" if has_amx() else "no quicker than fp32 (no AMX), so train.precision auto takes fp32"
    return ok("torch", f"{told}; a convolution and its gradient are right; bf16 is {quick}")


def computes(device: torch.device) -> bool:
    """Whether a convolution and its gradient are what they must be: sums of ones."""
    layer = nn.Conv2d(4, 2, 3, bias=False).to(device)
    nn.init.ones_(layer.weight)
    images = torch.ones(2, 4, 8, 8, device=device, requires_grad=True)
    output: Tensor = layer(images)
    output.sum().backward()
    gradient = layer.weight.grad
    assert gradient is not None
    right = math.isclose(float(output.min()), 36) and math.isclose(float(output.max()), 36)
    return right and math.isclose(float(gradient.min()), 72) and math.isclose(float(gradient.max()), 72)


def _check_gpus(spec: Spec | None) -> Iterator[Finding]:
    wanted = spec is not None and spec.search.device == "cuda" and not joins_cluster(spec.ray)
    if not torch.cuda.is_available():
        yield _without_gpu(wanted=wanted)
        return
    for number in range(torch.cuda.device_count()):
        device = torch.device("cuda", number)
        free, total = torch.cuda.mem_get_info(device)
        text = f"{number}: {torch.cuda.get_device_name(device)}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free"
        if not computes(device):
            yield problem("gpu", f"{text}, but it computes wrong numbers", "see nvidia-smi, or set search.device cpu")
        elif spec is not None and spec.search.device == "cpu":
            yield warning("gpu", f"{text}; the spec does not use it", "set search.device to cuda")
        else:
            yield ok("gpu", text)


def _without_gpu(*, wanted: bool) -> Finding:
    find = problem if wanted else warning
    if not DRIVER.exists():
        text = "none that torch can use"
        return problem("gpu", text, "set search.device to cpu") if wanted else ok("gpu", f"{text}: jobs run on the CPU")
    driver = next(iter(DRIVER.read_text().splitlines()), "").partition("Module")[2].split("  ")[0:2]
    shown = f"a driver is there ({' '.join(driver).strip() or 'NVIDIA'}), but torch {torch.__version__}"
    if torch.version.cuda is None:
        return find("gpu", f"{shown} is built without CUDA", "install torch with CUDA: pytorch.org/get-started")
    try:
        torch.cuda.init()
        reason = "it finds no GPU"
    except (RuntimeError, AssertionError) as error:
        reason = str(error)
    way_out = "bring driver and torch together: pytorch.org/get-started; see nvidia-smi"
    return find("gpu", f"{shown} (CUDA {torch.version.cuda}) cannot use it: {reason}", way_out)
