"""The processes that train a run together: here the only one, which the package `parallel` replaces by several."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from classicnets.acceleration.batch_split import BatchSplit
from classicnets.acceleration.prepare import Acceleration
from classicnets.evaluation.predictor import Predictor
from classicnets.runs import parts
from classicnets.training.objective import Objective

if TYPE_CHECKING:
    from classicnets.training.plan import Plan
    from classicnets.training.state import State


class Gradients(Protocol):
    """Computes the gradients of a batch otherwise than with one pass of this process: with threads or processes."""

    def rows(self, count: int) -> range:
        """Return the rows of a batch of `count` images that this process counts: each row is counted by one process."""

    def backward(
        self, x: Tensor, y: Tensor, loss: Objective, precision: str, position: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Set the gradients of the parameters to those of the whole batch.

        Args:
            x: preprocessed images of the rows that this process computes [rows, C, H, W].
            y: labels of the whole batch [N].
            loss: the training loss.
            precision: "float32", "float64" or "bfloat16".
            position: the numbers of the epoch and of the step, for dropout.

        Returns:
            This process's part of the loss, and the logits of the rows that it counts.
        """

    def clip(self, max_norm: float) -> None:
        """Scale the gradients so that their norm, over all parameters of the network, is at most `max_norm`."""


class Alone:
    """The group of a process that trains a run by itself.

    Args:
        counted_dropout: whether dropout masks are those of a run of several processes, which depend on the seed and the
            position of the step only, and not those of torch's generator.
    """

    rank, size = 0, 1

    def __init__(self, *, counted_dropout: bool = False) -> None:
        self.counted_dropout = counted_dropout

    def place(self, net: nn.Module, plan: Plan) -> nn.Module:  # noqa: ARG002
        """Return the part of a new network that this process trains."""
        return net

    def lines(self) -> list[str]:
        """Return a readable report of how the processes share the run, one line each."""
        return []

    def facts(self) -> dict[str, Any]:
        """Return how the processes share the run, as plain values for run.json."""
        return {}

    def rows(self, count: int) -> range:
        """Return the rows of a batch of `count` images that this process reads."""
        return range(count)

    def smallest_batch(self, plan: Plan) -> int:
        """Return the smallest number of images on which the processes can train the network of a plan."""
        return 2 if plan.check.needs_two_images else 1

    def gradients(
        self, net: nn.Module, acceleration: Acceleration, seed: int
    ) -> AbstractContextManager[Gradients | None]:
        """Return a context manager that gives what computes the gradients of `net`; None for one pass as in torch."""
        threads = acceleration.batch_threads
        return BatchSplit(net, threads, seed) if threads > 1 or self.counted_dropout else nullcontext()

    def sums(self, values: Sequence[Tensor | float]) -> list[Tensor]:
        """Return the sum of each number over the processes."""
        return [torch.as_tensor(value) for value in values]

    def whole(self, name: str, tensor: Tensor) -> Tensor:  # noqa: ARG002
        """Return the whole of a tensor that belongs to the parameter or buffer `name`, of which this is the part.

        Only the first process gets it, in main memory; the others get their part.
        """
        return tensor

    def rows_of(self, name: str, shape: torch.Size) -> range | None:  # noqa: ARG002
        """Return the rows that are this process's part of a whole tensor of this shape that belongs to `name`.

        They are along the first axis; None for all of the tensor.
        """
        return None

    def saved_parts(self, run: Path) -> Path | None:
        """Return the newest checkpoint in parts of a run (`runs.parts`), None if there is none.

        Raises:
            MachineError: CN401 if a process has no access to the folder in which such checkpoints are read or written.
        """
        return parts.newest(run)

    def save_parts(self, run: Path, state: State, facts: dict[str, Any]) -> bool:  # noqa: ARG002
        """Save the state in parts if the first process cannot hold it as a whole, and return whether it was.

        Args:
            run: the run folder; that of the first process counts.
            state: the state.
            facts: the facts of the checkpoint.

        Raises:
            MachineError: CN401 if a file cannot be written.
        """
        return False

    def whole_net(self, net: nn.Module) -> nn.Module:
        """Return the whole network with the current weights of `net`, which is a part of it."""
        return net

    def predictor(self, *arguments: Any) -> Predictor:
        """Return a Predictor that shares its images among the processes, each of which must call it."""
        return Predictor(*arguments)

    def copy_from_first(self, net: nn.Module) -> None:
        """Give a whole network the weights that it has in the first process."""

    def agree(self, state: State, *, stop: bool, save: bool) -> tuple[bool, bool]:  # noqa: ARG002
        """Return whether all processes stop now, and whether they save now.

        Args:
            state: the state, in which all have finished the same step or epoch.
            stop: whether this process was told to stop.
            save: whether this process would save.
        """
        return stop, save

    def from_first(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return the plain values that the first process has."""
        return values

    def in_turn(self) -> AbstractContextManager[object]:
        """Return a context manager for work whose results are cached: one process of each host does it first."""
        return nullcontext()

    def slowest(self) -> str:
        """Return which process was the slowest in the epoch, in words; "" if there is only one."""
        return ""

    def threads(self, facts: dict[str, Any]) -> int:
        """Return the number of CPU threads of this process for the run with these facts."""
        return int(facts["threads"])

    def device(self, device: str) -> str:
        """Return the device of this process for a run on `device`."""
        return device


ALONE = Alone()
