"""How fast budgets are met along a power law, and how near, beside the paper's descent on tau. Run by `make bench`.

Fits of the paper where there are any (`tests/reference/neuralscale.json`, iteration 15), else the uniform law.
"""

import json
from pathlib import Path

import numpy as np
from rich.console import Console

from benchmarks.clock import seconds
from nas.tables import make_table
from search_spaces import count_cost
from search_spaces.batch_cost import BatchCost
from search_spaces.power_law import PowerLaw, uniform_law
from search_spaces.scaling import scale_to, scale_to_each
from search_spaces.tau_descent import descend_tau
from search_spaces.zoo import make_network

BUDGETS = 1000  # spread evenly over the logarithm of the ratios
RATIOS = (0.05, 4)
FITS = {
    fit["network"]: PowerLaw(alpha=fit["alpha"], beta=fit["beta"])
    for fit in json.loads((Path(__file__).parents[1] / "tests" / "reference" / "neuralscale.json").read_text())["fits"]
    if fit["iteration"] == 15
}
NETWORKS = ("vgg11", "preact_resnet18", "neuralscale_mobilenetv2", "mobilenet_v2")


def main() -> None:
    """Print a table."""
    columns = ("law", "bounds", f"{BUDGETS:,} budgets, s", "least share", "one budget, ms", "descent, ms")
    table = make_table("network", *columns, left=("network", "law", "bounds"))
    for name in NETWORKS:
        network = make_network(name)
        batch, law = BatchCost(network), FITS.get(name) or uniform_law(network)
        base = count_cost(network).bounded()
        for names in (("params",), ("params", "macs")):
            bounds = {one: (np.geomspace(*RATIOS, BUDGETS) * base[one]).tolist() for one in names}
            found = scale_to_each(batch, law, bounds)
            many = seconds(lambda: scale_to_each(batch, law, bounds))  # noqa: B023
            single = seconds(lambda: scale_to(batch, law, {one: 0.25 * base[one] for one in names}))  # noqa: B023
            descent = seconds(lambda: descend_tau(batch, law, base["params"] // 4, tolerance=0.005))  # noqa: B023
            table.add_row(
                name,
                "fit" if name in FITS else "uniform",
                ", ".join(names),
                f"{many:.3f}",
                f"{min(one.shares[one.binding] for one in found):.4f}",
                f"{1e3 * single:.1f}",
                f"{1e3 * descent:.1f}" if len(names) == 1 else "",
            )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
