"""The published format of an exported network, version 4. `network.schema.json` beside it is its JSON Schema."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from trials.recipe import Recipe

FORMAT_VERSION: Literal[4] = 4
MAC_RULE = (
    "one MAC is one multiply-add of a conv or linear layer for one image; "
    "bias, activation, pooling and dropout count nothing"
)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Costs(_Part):
    """Exact counts for one image."""

    params: int = Field(description="Parameters of the whole network.")
    macs: int | float = Field(
        description="Multiply-adds of the whole network; of one with several exits the mean over validation images."
    )
    macs_worst: int | None = Field(None, description="Where all of it runs, of a network with several exits.")
    activation_elements: int = Field(description="Largest sum of one layer's input and output elements.")
    latency_ms: float | None = Field(
        None,
        description="Measured where the search's spec asks for it; the mean, where images leave early.",
    )
    latency_worst_ms: float | None = Field(None, description="The same where all of it runs, of such a network.")


class LatencyConditions(_Part):
    """How latency_ms was measured: 80 batches after 20 for warm-up, one thread on a CPU."""

    batch_size: int = Field(description="Images in a batch.")
    device: str = Field(description="Where it was measured.")
    average: Literal["median", "mean"] = Field("median", description="Of the 80 batches.")


class Accuracy(_Part):
    """Share of images classified right, over training seeds."""

    mean: float = Field(description="Mean over seeds.")
    std: float | None = Field(description="Sample standard deviation over seeds; null for one seed.")
    n: int = Field(description="Number of seeds.")
    images: int | None = Field(None, description="Images that each seed's network was scored on.")
    by_seed: dict[str, float] = Field(description="Accuracy by seed.")


class Preprocessing(_Part):
    """What is done to images before the network sees them, in this order."""

    input: Literal["uint8 [N, C, H, W]"] = Field(description="Pixels 0 to 255.")
    scale: Literal[255] = Field(description="Pixels are divided by it.")
    resize: Literal["bilinear, antialiased, whole grey levels"] = Field(
        description="To resolution x resolution, where they differ."
    )
    mean: list[FiniteFloat] = Field(description="Subtracted, by channel.")
    std: list[Annotated[FiniteFloat, Field(gt=0)]] = Field(description="Divided by, by channel.")


class Base(_Part):
    """The network that the search was to beat."""

    network_id: str = Field(description="Content id of its architecture.")
    resolution: int = Field(description="Input side in pixels.")
    costs: Costs = Field(description="Its costs.")
    validation_accuracy: Accuracy = Field(description="On the validation split.")
    test_accuracy: Accuracy = Field(description="On the test split.")


class Training(_Part):
    """How every network of the search was trained."""

    preset: str = Field(description="Recipe.")
    epochs: int = Field(description="Passes over the training images.")
    seeds: int = Field(description="Trainings of each network, with the seeds 0, 1, ... below this.")
    confirm: int = Field(0, description="Fresh seeds, the following ones; accuracies are theirs where it is above 0.")
    recipe: Recipe | None = Field(None, description="Every value of the training.")
    origin: Recipe | None = Field(
        None, description="Of the base's training, where the network was narrowed from the trained base and fine-tuned."
    )
    start_sha256: str = Field("", description="Hash of the file of weights that it went on from, if it did.")


class Split(_Part):
    """How the images were divided."""

    validation: float = Field(description="Share of the images on which the network was chosen.")
    test: float = Field(description="Share scored once.")
    seed: int = Field(description="Seed of the split.")


class Data(_Part):
    """The images."""

    source: str = Field(description="Name of the dataset, or of the file or folder that it was read from.")
    root: str = Field("", description="Empty; in older files the folder of torchvision's datasets, which is not used.")
    side: int | None = Field(None, description="Side to which images were brought when decoded, if not their own.")
    fingerprint: str = Field(description="SHA-256 of all images and labels.")
    split: Split = Field(description="Shares and seed.")
    split_fingerprint: str = Field(description="SHA-256 of the indices of train, validation and test.")
    sizes: dict[str, int] = Field(description="Images in each split.")


class Found(_Part):
    """What the search stated of a network that was trained in full afterwards."""

    training: Training = Field(description="How every network of the search was trained.")
    data: Data = Field(description="The images of the search.")
    validation_accuracy: Accuracy = Field(description="Of the search's training, on its validation split.")
    test_accuracy: Accuracy = Field(description="Of the search's training, on its test split.")


class Weights(_Part):
    """The trained weights, of the seed that was best on validation."""

    file: str | None = Field(
        pattern=r"^[^/\\\x00-\x1f]+\.safetensors$",
        description="Name of the safetensors file in this file's folder, if written.",
    )
    sha256: str = Field(description="Hash of the file's bytes.")
    seed: int = Field(description="Training seed.")
    validation_accuracy: float = Field(description="Of these weights.")
    test_accuracy: float = Field(description="Of these weights.")


class DynamicPart(_Part):
    """One of the networks of a dynamic one."""

    network_id: str = Field(description="Content id of the architecture.")
    resolution: int = Field(description="Input side in pixels.")
    architecture: dict[str, Any] = Field(description="As architecture of a network by itself, with its exits.")


class Exit(_Part):
    """Where images leave: an image is answered where softmax(scores / temperature) is above the threshold."""

    network: int = Field(ge=0, description="Place of its network in the list.")
    macs: int = Field(description="Multiply-adds for going on to it from the exit before.")
    threshold: float | None = Field(ge=0, le=1, description="Null of the last exit, which answers all that is left.")
    temperature: FiniteFloat = Field(gt=0, description="Fitted on validation: it calibrates the exit's confidence.")
    reached: dict[str, int] = Field(description="Images that came to it, of the validation and the test split.")


class Dynamic(_Part):
    """Networks one behind the other, each for the images that those before are not sure of."""

    networks: list[DynamicPart] = Field(min_length=1, description="In the order in which images come to them.")
    exits: list[Exit] = Field(min_length=1, description="Of all networks, in order.")
    bound: float | None = Field(description="On the expected multiply-adds, under which thresholds were chosen.")


class ExportedNetwork(_Part):
    """A network with everything needed to rebuild, check and use it."""

    format: Literal["nas-network"] = Field(description="Always nas-network.")
    format_version: Literal[2, 3, 4] = Field(description="Version of this format; 2 has no dynamic, 3 no found.")
    created_at: str = Field(description="When it was exported, ISO 8601, UTC.")
    search: str = Field(description="Name of the search.")
    method: str = Field(description="Method that proposed it; base where no candidate was better.")
    network_id: str = Field(description="Content id of the architecture.")
    resolution: int = Field(description="Input side in pixels; of several networks the largest.")
    preprocessing: Preprocessing = Field(description="From images to the network's input.")
    costs: Costs = Field(description="What it costs.")
    latency: LatencyConditions | None = Field(None, description="How latency_ms was measured, if it was.")
    mac_rule: str = Field(description="What a MAC is.")
    budget: dict[str, int | float] = Field(description="Upper bounds that it keeps.")
    slack: dict[str, int | float] = Field(description="Cost minus bound; at most 0.")
    validation_accuracy: Accuracy = Field(description="On the validation split.")
    test_accuracy: Accuracy = Field(description="On the test split.")
    base: Base = Field(description="The network it is measured against.")
    training: Training = Field(description="Recipe.")
    data: Data = Field(description="Images.")
    weights: Weights = Field(description="Trained weights.")
    versions: dict[str, str] = Field(description="Software that trained it.")
    architecture: dict[str, Any] | None = Field(
        description="Input shape and nodes: op, its fields, and the nodes it reads; null where dynamic is given."
    )
    dynamic: Dynamic | None = Field(None, description="The networks of one whose images leave at several exits.")

    found: Found | None = Field(
        None, description="Where it was trained in full afterwards: what the search stated, with which base compares."
    )

    @property
    def networks(self) -> tuple[dict[str, Any], ...]:
        """The architectures, in the order in which images come to them."""
        if self.dynamic is None:
            return () if self.architecture is None else (self.architecture,)
        return tuple(network.architecture for network in self.dynamic.networks)
