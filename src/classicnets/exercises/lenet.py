"""The exercises of the chapter on LeNet: d2l-zh, second edition, 6.6.5 (1 to 4); d2l-en, 1.0, 7.6.5 (1 to 5)."""

from __future__ import annotations

from classicnets.exercises.kinds import Activations, Exercise, Structure, Trained
from classicnets.exercises.rules import has_convolution, max_pooling, relu

_BOOK = "lenet_d2l"

EXERCISES: tuple[Exercise, ...] = (
    Structure(
        id="lenet-1",
        zh="1",
        en="1a",
        title="maximum instead of average pooling",
        question="Replace every average pooling of the book's LeNet by maximum pooling, and nothing else. What"
        " happens to the test accuracy?",
        hints=(
            "LeNet has two pooling layers. Find both.",
            "torch has a class whose name and arguments differ from nn.AvgPool2d by three letters.",
            "Each becomes nn.MaxPool2d(kernel_size=2, stride=2); the shapes stay, so nothing else has to change.",
        ),
        solution="nn.AvgPool2d(kernel_size=2, stride=2) becomes nn.MaxPool2d(kernel_size=2, stride=2) in both places."
        " In our study `pooling` (eight seeds, four epochs), maximum pooling gave 1.3 points more, with a 95 % interval"
        " of 0.3 to 2.3 points; the standard deviation over seeds is 2.6. With ReLU, it gave 2.8 points more.",
        reference=_BOOK,
        needs=("pooling",),
        exact=True,
        rules=(max_pooling,),
        asks_for_training=True,
    ),
    Structure(
        id="lenet-2",
        zh="2",
        en="2",
        title="a stronger network after LeNet",
        question="Change the size of LeNet (windows, channels, activations, numbers of layers) so that its accuracy"
        " rises.",
        hints=(
            "The parts lenet-2a to lenet-2e each name one thing to change; start with the activation.",
            "Change one thing at a time, so that you know what helped.",
            "Try ReLU, maximum pooling and more channels (16 and 32), with a lower learning rate, such as 0.1.",
        ),
        solution="One of many: convolutions with 16 and 32 channels, ReLU, maximum pooling, dense layers of 120 and 84"
        " outputs, and a learning rate of 0.1. In our studies, ReLU instead of sigmoids gave 11.6 points more"
        " (`relu_lenet`), and maximum pooling with ReLU 2.8 points (`pooling`).",
        reference=_BOOK,
        any_of=("window", "channels", "activation", "convolutions", "dense", "widths", "pooling"),
        rules=(has_convolution,),
        asks_for_training=True,
    ),
    Structure(
        id="lenet-2a",
        zh="2a",
        en="2a",
        title="another window of the convolutions",
        question="Change the kernel size of one or both convolutions, and keep the network a classifier of 28x28"
        " images.",
        hints=(
            "Another kernel gives another output size: floor((n + 2*padding - kernel) / stride) + 1.",
            "Correct the padding, or the number of inputs of the first dense layer.",
            "With kernel_size=3 and padding=1, a convolution keeps the size of its input.",
        ),
        solution="nn.Conv2d(1, 6, kernel_size=3, padding=1) and nn.Conv2d(6, 16, kernel_size=3) give 16x6x6 after the"
        " second pooling, so the first dense layer becomes nn.Linear(16 * 6 * 6, 120).",
        reference=_BOOK,
        needs=("window",),
        rules=(has_convolution,),
        asks_for_training=True,
    ),
    Structure(
        id="lenet-2b",
        zh="2b",
        en="2b",
        title="another number of channels",
        question="Change the number of output channels of one or both convolutions.",
        hints=(
            "The outputs of a layer are the inputs of the next one.",
            "The first dense layer reads channels x height x width numbers.",
            "With 32 channels in the second convolution, the first dense layer has 32 * 5 * 5 inputs.",
        ),
        solution="nn.Conv2d(1, 16, kernel_size=5, padding=2), nn.Conv2d(16, 32, kernel_size=5) and"
        " nn.Linear(32 * 5 * 5, 120).",
        reference=_BOOK,
        needs=("channels",),
        rules=(has_convolution,),
        asks_for_training=True,
    ),
    Structure(
        id="lenet-2c",
        zh="2c",
        en="1b",
        title="another activation",
        question="Replace the sigmoids by another activation, such as ReLU. (The English edition speaks of the softmax"
        " layer here, and means the sigmoids: the network has no softmax.)",
        hints=(
            "LeNet has four sigmoids: after both convolutions, and after both hidden dense layers.",
            "No activation belongs after the last layer.",
            "Each nn.Sigmoid() becomes nn.ReLU(). With ReLU, start with a lower learning rate, such as 0.1.",
        ),
        solution="Four times nn.ReLU() instead of nn.Sigmoid(). In our study `relu_lenet`, 14 epochs on 10,000 images"
        " with a learning rate of 0.3 ended with a test accuracy of 68.7 % for sigmoid, 80.3 % for ReLU and 82.4 % for"
        " tanh.",
        reference=_BOOK,
        needs=("activation",),
        asks_for_training=True,
    ),
    Structure(
        id="lenet-2d",
        zh="2d",
        en="2c",
        title="another number of convolutions",
        question="Add a convolution, or remove one, and keep the network a classifier of 28x28 images.",
        hints=(
            "After the second pooling, feature maps have 5x5 pixels only.",
            "A convolution with kernel_size=3 and padding=1 fits anywhere, because it keeps the size.",
            "Put it after the second activation, with its own activation, and count the inputs of the dense layer"
            " again.",
        ),
        solution="After the second convolution and its activation: nn.Conv2d(16, 16, kernel_size=3, padding=1),"
        " nn.Sigmoid().",
        reference=_BOOK,
        needs=("convolutions",),
        rules=(has_convolution,),
        asks_for_training=True,
    ),
    Structure(
        id="lenet-2e",
        zh="2e",
        en="2d",
        title="another number of dense layers",
        question="Add a dense layer, or remove one, and keep ten outputs.",
        hints=(
            "Each hidden dense layer needs an activation after it.",
            "The outputs of each layer are the inputs of the next one.",
            "Without the middle layer: nn.Linear(400, 120), activation, nn.Linear(120, 10).",
        ),
        solution="nn.Linear(400, 120), nn.Sigmoid(), nn.Linear(120, 10) has one dense layer fewer.",
        reference=_BOOK,
        needs=("dense",),
        asks_for_training=True,
    ),
    Trained(
        id="lenet-2f",
        zh="2f",
        en="2e",
        title="another learning rate and other settings",
        question="Train LeNet with another learning rate, other initial weights or more epochs, and compare it with the"
        " book's settings.",
        hints=(
            "The book trains with a learning rate of 0.9 for 10 epochs.",
            "Change one setting at a time, so that you know what made the difference.",
            "classicnets exercise check lenet-2f --answer epochs=20 --train",
        ),
        solution="Any of the settings, such as --answer epochs=20. Look at the loss of the last epochs: more epochs are"
        " worth a try while it still falls. With the book's settings, the test accuracy of 20 seeds has a standard"
        " deviation of 2.4 points, so a single run shows only large differences.",
        reference=_BOOK,
        settings=("lr", "epochs", "initialize", "batch_size", "optimizer", "momentum", "weight_decay", "schedule"),
    ),
    Structure(
        id="lenet-3",
        zh="3",
        en="3",
        title="the network on MNIST",
        question="Train your improved network on MNIST, and compare it with the book's LeNet there.",
        hints=(
            "MNIST has images of 28x28 pixels and ten classes as well, so the network fits.",
            "Your network is compared with the book's by the same settings and the same seeds.",
            "classicnets exercise check lenet-3 my_net.py:net --train --limit 5000",
        ),
        solution="Nothing of the network changes; only the data does. Compare the difference between both networks with"
        " that on Fashion-MNIST: classicnets exercise check lenet-2 my_net.py:net --train",
        reference=_BOOK,
        any_of=("window", "channels", "activation", "convolutions", "dense", "widths", "pooling", "dropout"),
        rules=(has_convolution,),
        data="mnist",
        asks_for_training=True,
    ),
    Activations(
        id="lenet-4",
        zh="4",
        en="4",
        title="activations of the first two layers",
        question="Show what the first and the second convolution compute from a sweater and from a coat. What do they"
        " have in common?",
        hints=(
            "The network must be trained: activations of random weights say nothing about the classes.",
            "Pass the folder of a run; both convolutions are then drawn for an image of each class.",
            "Look for channels that answer to edges in both images, and for those that differ.",
        ),
        solution="Each channel of the first layer is the image filtered by one kernel of 5x5 pixels, so outlines can"
        " still be seen. A channel of the second layer combines all channels of the first one. The check prints how"
        " strongly the activations of both garments correlate in each layer.",
        reference=_BOOK,
        classes=("pullover", "coat"),
    ),
    Activations(
        id="lenet-en-5",
        en="5",
        title="activations for images of another kind",
        question="What do the layers compute from images that are unlike the training images, such as noise?",
        hints=(
            "A network has no class for “none of these”: it names one of ten for any image.",
            "Compare the activations of noise with those of a garment, and the probabilities.",
            "Pass the folder of a run; noise and an inverted image are drawn beside the garments.",
        ),
        solution="The first layer filters any image in the same way. Noise has no outline, so its activations have"
        " none. The network names a class all the same: the probabilities of a softmax add up to 1, and none of them is"
        " for “unknown”. The check prints them.",
        reference=_BOOK,
        classes=("pullover", "coat"),
        noise=True,
    ),
    Structure(
        id="lenet-en-1",
        en="1",
        title="a modern LeNet",
        question="Use maximum pooling and ReLU in LeNet, together (lenet-1 and lenet-2c ask for each of them).",
        hints=(
            "Four sigmoids and two poolings change.",
            "The last layer has no activation, and none must be added.",
            "nn.ReLU() for nn.Sigmoid(), nn.MaxPool2d for nn.AvgPool2d; start with a learning rate of 0.1.",
        ),
        solution="Four times nn.ReLU(), twice nn.MaxPool2d(kernel_size=2, stride=2).",
        reference=_BOOK,
        needs=("pooling", "activation"),
        exact=True,
        rules=(max_pooling, relu),
        asks_for_training=True,
    ),
)
