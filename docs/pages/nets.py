"""docs/nets.md: all networks of the registry, counted."""

from __future__ import annotations

from classicnets.models.registry import NETS, Entry
from classicnets.text import shape as shape_text
from pages import markdown
from pages.networks import connections, family, layer_table

GROUPS = {
    "lenet": "LeNet",
    "alexnet": "AlexNet",
    "alexnet_ports": "AlexNet in other frameworks",
    "convnet": "For your folder of images",
    "cifar": "CIFAR-10",
    "vgg": "For comparison",
}  # by file of the builder
_COUNTS = ("weights", "biases", "parameters", "MACs", "units", "connections", "memory")


def page(command: str) -> str:
    """All networks of the registry, counted on the meta device, in a table for each group."""
    return f"""# Networks

<!-- made by `{command}` from the built networks -->

All networks of the registry. The numbers are counted on the network that `classicnets.create` builds, for one image of
the size that its source uses. Each name links to a card: what was published, what differs, what had to be assumed, and
how it is tested. `classicnets show NET` prints the same numbers for each layer.

- **Weights** and **biases** add up to the **parameters**; **memory** is their size as float32 (1 MB is 1,000,000
  bytes).
- **MACs** are multiply-accumulate operations. Multiplications with padding count; additions of biases, activations, max
  pooling, plain average pooling and normalization do not.
- **Units** are the outputs of layers with weights (convolution, trainable subsampling, dense), without the input and
  pooling.
- **Connections** are counted as in the 1990s: every use of a weight, and one bias for each unit that has one. Sources
  print {_published()};
  the others are counted here in the same way.
- **Tested**: *counts*, every layer has the published or derived counts; *framework*, the outputs equal those of the
  framework that the network comes from; *reference*, those of an independent implementation; *trained*, the published
  accuracy is reached.

{"".join(_group(module, title) for module, title in GROUPS.items()).rstrip()}
"""


def _published() -> str:
    return ", ".join(f"{entry.connections:,} (`{name}`)" for name, entry in NETS.items() if entry.connections)


def _group(module: str, title: str) -> str:
    columns = ("network", "year", "source", "input", *_COUNTS, "tested")
    rows = [_row(name, NETS[name]) for name in family(module)]
    return "\n".join([f"## {title}", "", *markdown.table(columns, rows, numbers=_COUNTS), "", ""])


def _row(name: str, entry: Entry) -> list[object]:
    table = layer_table(name)
    counts = (table.weights, table.biases, table.parameters, table.macs, table.units, connections(table))
    return [
        f"[`{name}`](../src/classicnets/models/cards/{name}.md){' (ours)' if entry.ours else ''}",
        entry.year or "-",
        entry.source,
        shape_text(table.input_shape),
        *(f"{count:,}" for count in counts),
        markdown.size(table.weight_bytes),
        ", ".join(entry.proven) or "-",
    ]
