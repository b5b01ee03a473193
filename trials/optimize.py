"""The optimizer of a network or of fused ones: all parameters in one vector, so that a step is a few operations."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from search_spaces.fuse import pack, unpack
from trials.recipe import Recipe


def of_part(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """Those tensors whose names begin with `part.`, by the rest of the name."""
    return {name.removeprefix(f"{part}."): tensor for name, tensor in tensors.items() if name.startswith(f"{part}.")}


class FlatParameters:
    """Moves a module's parameters into one vector and their gradients into another; the module sees views of them.

    Small networks spend much of a step in starting operations, of which an optimizer does some ten for each tensor.
    """

    def __init__(self, module: nn.Module) -> None:
        named = dict(module.named_parameters())
        total = sum(parameter.numel() for parameter in named.values())
        first = next(iter(named.values()))
        self.values = nn.Parameter(torch.empty(total, device=first.device, dtype=first.dtype))
        self.values.grad = torch.zeros_like(self.values)
        self._shapes = {name: parameter.shape for name, parameter in named.items()}
        self._last = {
            name: parameter.dim() == 4 and parameter.is_contiguous(memory_format=torch.channels_last)
            for name, parameter in named.items()
        }
        with torch.no_grad():
            for name, view in self.split(self.values).items():
                view.copy_(named[name])
                named[name].data = view
            for name, view in self.split(self.values.grad).items():
                named[name].grad = view

    def split(self, vector: Tensor) -> dict[str, Tensor]:
        """Views of a vector [P] by parameter name, in the parameters' shapes and memory order."""
        parts = vector.detach().split([shape.numel() for shape in self._shapes.values()])
        return {
            name: self._view(part, shape, last=self._last[name])
            for (name, shape), part in zip(self._shapes.items(), parts, strict=True)
        }

    def join(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """The vector [P] whose views these tensors would be."""
        vector = torch.empty_like(self.values.detach())
        for name, view in self.split(vector).items():
            view.copy_(tensors[name])
        return vector

    @staticmethod
    def _view(part: Tensor, shape: torch.Size, *, last: bool) -> Tensor:
        if not last:
            return part.view(shape)
        count, channels, height, width = shape
        return part.view(count, height, width, channels).permute(0, 3, 1, 2)


class Optimizer:
    """One step of the recipe's optimizer for all members at once, each with its own learning rate.

    An update of SGD, AdamW and Adadelta is proportional to the learning rate, while their averages do not hold it, and
    a schedule scales all members alike: so a step is made at the highest rate and scaled down for the others.
    """

    def __init__(self, module: nn.Module, recipe: Recipe, learning_rates: Sequence[float]) -> None:
        self.flat = FlatParameters(module)
        self.steps = 0
        self.average = self.flat.values.detach().clone() if recipe.ema else None
        self._ema, self._members, self._learning_rate = recipe.ema, len(learning_rates), max(learning_rates)
        self._optimizer = _optimizer(self.flat.values, recipe, self._learning_rate)
        self._scales = None
        if len(set(learning_rates)) > 1:
            scales = torch.tensor([rate / self._learning_rate for rate in learning_rates])
            shaped = {
                name: scales.repeat_interleave(view.numel() // len(scales)).reshape(view.shape)
                for name, view in self.flat.split(self.flat.values).items()
            }
            self._scales = self.flat.join(shaped)

    def step(self, factor: float) -> None:
        """Update the parameters by their gradients, at this share of the learning rate, and clear the gradients."""
        self._optimizer.param_groups[0]["lr"] = self._learning_rate * factor
        values = self.flat.values
        before = values.detach().clone() if self._scales is not None else None
        self._optimizer.step()
        assert values.grad is not None
        values.grad.zero_()
        self.steps += 1
        with torch.no_grad():
            if before is not None and self._scales is not None:
                values.copy_(before + self._scales * (values - before))
            if self.average is not None:
                # the first averages follow the weights closely, or they would hold the initial ones for long
                self.average.lerp_(values.detach(), 1 - min(self._ema, (1 + self.steps) / (10 + self.steps)))

    def state(self) -> list[dict[str, Tensor]]:
        """Everything of each member that a continued training needs beside its weights, by name."""
        own = self._optimizer.state[self.flat.values]
        vectors = {key: value for key, value in own.items() if isinstance(value, Tensor) and value.dim() > 0}
        if self.average is not None:
            vectors["average"] = self.average
        members: list[dict[str, Tensor]] = [{} for _ in range(self._members)]
        for key, vector in vectors.items():
            for member, tensors in zip(members, unpack(self.flat.split(vector), self._members), strict=True):
                member.update({f"{key}.{name}": tensor.clone() for name, tensor in tensors.items()})
        return members

    def load_state(self, members: Sequence[Mapping[str, Tensor]], steps: int) -> None:
        """Take back what `state` gave, after so many steps."""
        self.steps = steps
        keys = {name.partition(".")[0] for name in members[0]}
        vectors = {key: self.flat.join(pack([of_part(member, key) for member in members])) for key in sorted(keys)}
        if self.average is not None:
            self.average = vectors.pop("average")
        self._optimizer.state[self.flat.values] = {**vectors, "step": torch.tensor(float(steps))}

    def averages(self) -> dict[str, Tensor] | None:
        """The averaged parameters by name, members packed; None where the recipe has none."""
        return None if self.average is None else self.flat.split(self.average)


def _optimizer(values: nn.Parameter, recipe: Recipe, learning_rate: float) -> torch.optim.Optimizer:
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW([values], lr=learning_rate, weight_decay=recipe.weight_decay)
    if recipe.optimizer == "adadelta":
        return torch.optim.Adadelta([values], lr=learning_rate, weight_decay=recipe.weight_decay)
    return torch.optim.SGD(
        [values],
        lr=learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
    )
