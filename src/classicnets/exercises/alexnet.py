"""The exercises of the chapter on AlexNet: d2l-zh, second edition, 7.1.5 (1 to 5); d2l-en, 1.0, 8.1.5 (1 to 8)."""

from __future__ import annotations

from classicnets.exercises import quantities as q
from classicnets.exercises.kinds import Essay, Exercise, Numbers, Structure, Trained
from classicnets.exercises.rules import dropout, fewer_macs, has_convolution, no_resizing, relu
from classicnets.inspection.shapes import Table
from classicnets.text import _

_BOOK, _LENET = "alexnet_d2l", "lenet_d2l"

_MEMORY = {
    "memory": q.Quantity(help="layer with the most parameters", answer=q.largest(q.parameters), cost=q.parameters),
    "dense_share": q.Quantity(
        help="share of the parameters that are in dense layers, in percent",
        answer=q.share("dense", "parameters"),
        tolerance=1.0,
    ),
}
_COMPUTE = {
    "compute": q.Quantity(help="layer with the most MACs", answer=q.largest(q.macs), cost=q.macs),
    "conv_share": q.Quantity(
        help="share of the MACs that are in convolutions, in percent", answer=q.share("conv", "macs"), tolerance=1.0
    ),
}
_BANDWIDTH = {
    "bandwidth": q.Quantity(
        help="layers that memory bandwidth limits first for one image: conv or dense",
        answer=q.bound_by_memory,
        choices=("conv", "dense"),
    ),
    "intensity": q.Quantity(
        help="MACs of the dense layers for each byte that they read and write, for one image in float32",
        answer=q.dense_intensity,
        tolerance=0.02,
    ),
}


def _chip_facts(table: Table) -> list[str]:
    """Arithmetic intensity of both types of layers, for one image and for a batch."""
    lines = []
    for batch in (1, 128):
        conv, dense = (q.intensity_of_type(kind, table, batch) for kind in ("conv", "dense"))
        lines.append(
            _(
                "in a batch of {batch}: {conv:.1f} MACs a byte in the convolutions, {dense:.2f} in the dense layers",
                batch=batch,
                conv=conv,
                dense=dense,
            )
        )
    return [*lines, *q.intensity_lines(table)]


def _benchmark_facts(table: Table) -> list[str]:
    """Where the cost of AlexNet lies."""
    return [
        _(
            "{parameters:,} parameters, {share:.1f} % of them in dense layers; {macs:,} MACs, {conv:.1f} % of them in"
            " convolutions",
            parameters=table.parameters,
            share=q.share("dense", "parameters")(table),
            macs=table.macs,
            conv=q.share("conv", "macs")(table),
        )
    ]


def _overfit_facts(table: Table) -> list[str]:
    """How many parameters there are for each training image."""
    return [
        _(
            "{parameters:,} parameters for 60,000 training images of Fashion-MNIST: {ratio:,.0f} for each image",
            parameters=table.parameters,
            ratio=table.parameters / 60_000,
        ),
        _("the layers with dropout: {names}", names=", ".join(r.name for r in table.rows if "Dropout" in r.kind)),
    ]


EXERCISES: tuple[Exercise, ...] = (
    Trained(
        id="alexnet-1",
        zh="1",
        en="4",
        title="more epochs",
        question="Train AlexNet for more epochs than the book, and compare. How does the result differ from that of"
        " LeNet, and why?",
        hints=(
            "The book trains for 10 epochs: the setting is epochs.",
            "Look at training and test accuracy: when does only the first one still rise?",
            "classicnets exercise check alexnet-1 --answer epochs=20 --train --limit 2000   # without --limit: hours on"
            " a CPU",
        ),
        solution="--answer epochs=20. In our run with the book's settings, the test accuracy was 0.851 after 5 epochs,"
        " 0.873 after 8 and 0.881 after 10. The book's LeNet ended with 0.80, the mean of 20 seeds. AlexNet has"
        " 46,764,746 parameters, 758 times as many as LeNet, and larger images, ReLU and dropout.",
        reference=_BOOK,
        settings=("epochs",),
        more=("epochs",),
    ),
    Structure(
        id="alexnet-2a",
        zh="2a",
        en="5a",
        title="a simpler AlexNet",
        question="Simplify AlexNet so that it trains faster on 224x224 images, without losing much accuracy.",
        hints=(
            "Where are the MACs? classicnets show alexnet_d2l lists them for each layer.",
            "The second convolution has the most MACs, and the first dense layer the most parameters.",
            "Half of the channels in every convolution leave 28 % of the MACs.",
        ),
        solution="Convolutions with 48, 128, 192, 192 and 128 channels and dense layers of 1024 outputs: about a"
        " quarter of the MACs.",
        reference=_BOOK,
        shape=(1, 224, 224),
        rules=(fewer_macs, has_convolution),
        asks_for_training=True,
    ),
    Structure(
        id="alexnet-2b",
        zh="2b",
        en="5b",
        title="an AlexNet for 28x28 images",
        question="Design a network in the manner of AlexNet that takes images of 28x28 pixels without enlarging them.",
        hints=(
            "A kernel of 11x11 with a stride of 4 leaves too little of a small image.",
            "Kernels of 3x3 or 5x5 with a stride of 1 keep the size; two or three poolings halve it.",
            "classicnets show alexnet_28 is our own answer; compare yours with it.",
        ),
        solution="Five convolutions with 32, 64, 64, 128 and 128 channels, kernels of 5, 5, 3, 3 and 3 pixels, a"
        " stride of 1, batch normalization and ReLU, pooling 3/2 after the first, third and fifth, dense layers of 512,"
        " 512 and 10 outputs, and dropout: classicnets show alexnet_28",
        reference=_BOOK,
        needs=("input",),
        rules=(relu, has_convolution, no_resizing),
        asks_for_training=True,
    ),
    Numbers(
        id="alexnet-3",
        zh="3",
        en="6",
        title="the batch size: memory and throughput",
        question="Vary the batch size. How do memory and throughput change, and what happens to the accuracy?",
        hints=(
            "Weights are stored once; what the layers compute is stored for each image.",
            "Add up the sizes of all outputs of one image, with 4 bytes a number.",
            "classicnets show alexnet_d2l prints the total as output memory. An output that shares the memory of its"
            " input, such as that of flatten, does not count.",
        ),
        solution="Memory grows with the batch by the outputs of one image (the total of output memory in classicnets"
        " show alexnet_d2l). In our study `batch_size`, of a LeNet with ReLU on a CPU, the throughput with 32 images in"
        " a batch was 0.74 of that with 128, and no difference was shown between 128 and 512. With the same learning"
        " rate, larger batches make fewer steps: after 8 epochs, 32 gave 12 points more accuracy than 128.",
        reference=_BOOK,
        quantities={
            "image_mb": q.Quantity(
                help="memory of the outputs of all layers for one image, in MB (10^6 bytes)",
                answer=q.activation_megabytes,
                tolerance=0.1,
            ),
        },
        sweep=(8, 32, 128),
    ),
    Numbers(
        id="alexnet-4",
        zh="4",
        en="1",
        title="the cost of AlexNet",
        question="Which layers of AlexNet need most memory, which need most computation, and what does memory bandwidth"
        " mean for them?",
        hints=(
            "A weight of a convolution is used once for each output pixel, and a weight of a dense layer once.",
            "Parameters of a dense layer: inputs x outputs; MACs of a convolution: its weights x output pixels.",
            "classicnets show alexnet_d2l lists both for each layer.",
        ),
        solution="classicnets show alexnet_d2l: fc6 has most parameters, conv2 most MACs. Dense layers use each"
        " weight once for an image, so they compute about a quarter of a MAC for each byte: bandwidth limits them.",
        reference=_BOOK,
        quantities=_MEMORY | _COMPUTE | _BANDWIDTH,
    ),
    Numbers(
        id="alexnet-4a",
        zh="4a",
        en="1a",
        title="what needs most memory",
        question="Which layer of AlexNet has most parameters, and what share of them is in dense layers?",
        hints=(
            "Parameters of a dense layer: inputs x outputs + outputs.",
            "The first dense layer reads 256 x 5 x 5 = 6,400 numbers.",
            "classicnets show alexnet_d2l lists the parameters of each layer; divide those of fc6 to fc8 by the total.",
        ),
        solution="fc6, with 6,400 x 4,096 weights; the three dense layers have about 92 % of all parameters.",
        reference=_BOOK,
        quantities=_MEMORY,
    ),
    Numbers(
        id="alexnet-4b",
        zh="4b",
        en="1b",
        title="what needs most computation",
        question="Which layer of AlexNet has most MACs, and what share of them is in convolutions?",
        hints=(
            "MACs of a convolution: kernel x kernel x input channels x output channels x output pixels.",
            "The second convolution has 5 x 5 x 96 x 256 weights, and uses each for 26 x 26 pixels.",
            "classicnets show alexnet_d2l lists the MACs of each layer; divide those of conv1 to conv5 by the total.",
        ),
        solution="conv2; the five convolutions have about 95 % of all MACs.",
        reference=_BOOK,
        quantities=_COMPUTE,
    ),
    Numbers(
        id="alexnet-4c",
        zh="4c",
        en="1c",
        title="what memory bandwidth means",
        question="Which type of layer waits for memory first, and how many MACs does it compute for each byte? How"
        " does a batch change this, and what differs between training and inference?",
        hints=(
            "Bytes of a layer: 4 x (parameters + inputs + outputs).",
            "Divide the MACs of the three dense layers by their bytes.",
            "One MAC for each weight of 4 bytes: nearly 0.25. A batch uses each weight that was read several times.",
        ),
        solution="The dense layers, with about 0.25 MACs a byte for one image. In a batch of 128, each weight that is"
        " read is used 128 times. Training reads the weights again for the gradients of the inputs and to update them,"
        " and keeps the outputs of all layers until the gradients are calculated; inference needs none of this.",
        reference=_BOOK,
        quantities=_BANDWIDTH,
    ),
    Structure(
        id="alexnet-5",
        zh="5",
        en="7",
        title="dropout and ReLU in LeNet",
        question="Give LeNet the dropout and the ReLU of AlexNet. Does it improve? What does preprocessing of the"
        " images add?",
        hints=(
            "AlexNet has dropout after its hidden dense layers, not after its convolutions.",
            "Four sigmoids become nn.ReLU(); nn.Dropout(0.5) follows the ReLU of both hidden dense layers.",
            "For the second question: classicnets train FILE.py:net --set mean=0.286 std=0.353 flip=true",
        ),
        solution="Four times nn.ReLU(), and nn.Dropout(0.5) after both hidden dense layers. In our study"
        " `lenet_exercise` (5,000 images, 12 epochs, six seeds), ReLU alone gave 2.3 points more than the book's LeNet,"
        " and standardized images 1.2. ReLU, dropout and standardized images together gave 0.6 points, which six seeds"
        " do not show.",
        reference=_LENET,
        needs=("activation", "dropout"),
        rules=(relu, dropout),
        asks_for_training=True,
    ),
    Essay(
        id="alexnet-en-2",
        en="2",
        title="a chip for AlexNet",
        question="You design a chip and must divide its area and its power between computation and memory bandwidth."
        " How?",
        hints=(
            "Count the MACs for each byte that every layer reads and writes.",
            "Compare one image with a batch: which layers change?",
            "A chip is balanced if it can compute as many MACs for each byte as the network needs.",
        ),
        solution="There is no single answer: see the rubric and the facts.",
        reference=_BOOK,
        rubric=(
            "names the number that decides: MACs for each byte (arithmetic intensity), of the network and of the chip",
            "separates convolutions, which computation limits, from dense layers, which bandwidth limits",
            "says that a batch raises the intensity of dense layers, and what it costs in delay and memory",
            "mentions on-chip memory and fewer bits as ways to need less bandwidth",
        ),
        facts=_chip_facts,
    ),
    Essay(
        id="alexnet-en-3",
        en="3",
        title="why AlexNet is no longer a benchmark",
        question="Why do engineers no longer report the speed of AlexNet?",
        hints=(
            "Which layers hold its parameters, and do networks of today have such layers?",
            "Which layers need its time, and with which kernel sizes?",
            "What would a chip be optimized for if it were measured by AlexNet?",
        ),
        solution="There is no single answer: see the rubric and the facts.",
        reference=_BOOK,
        rubric=(
            "says that its cost lies elsewhere than in later networks: large dense layers, kernels of 11x11 and 5x5",
            "names what replaced them: convolutions of 3x3 and 1x1, global average pooling, later attention",
            "says that its accuracy is far below that of later networks at the same cost",
            "draws a conclusion for benchmarks: they should be like what is run today",
        ),
        facts=_benchmark_facts,
    ),
    Essay(
        id="alexnet-en-8",
        en="8",
        title="an AlexNet that overfits",
        question="Can AlexNet be made to overfit? Which part must be removed or changed?",
        hints=(
            "Overfitting is a gap: training accuracy rises while test accuracy does not.",
            "Which layers act only during training?",
            "classicnets train alexnet_28 --limit 2000 --set net.dropout=0   # and the same without --set",
        ),
        solution="There is no single answer: see the rubric and the facts.",
        reference=_BOOK,
        rubric=(
            "measures the gap between training and test accuracy, with and without the change, for several seeds",
            "names dropout as the part that works against overfitting, and few images as what brings it about",
            "says that weight decay and augmentation, which the paper uses, are not in the book's training",
            "separates overfitting from training that fails, such as with too high a learning rate",
        ),
        facts=_overfit_facts,
    ),
)
