"""Claims about years, names and published results; their sources settle them."""

from __future__ import annotations

from claims.claim import Topic
from pages.texts import _

TOPIC = Topic("Years, names, published results")

TOPIC.sourced(
    "true",
    "named_after",
    "LeNet is named after LeCun and AlexNet after Alex Krizhevsky, the first authors.",
    "LeCun et al. 1989, 1998; Krizhevsky et al. 2012.",
)
TOPIC.sourced(
    "loose",
    "lenet_1989_at_bell_labs",
    "LeCun, at AT&T Bell Labs, proposed LeNet in 1989. (Other notes: the prototype is LeNet-5 of 1998.)",
    "1989 is the network for zip codes (`lenet_1989`), 1990 LeNet-1, 1998 LeNet-5; the notes show a variant of the "
    "last.",
)
TOPIC.sourced(
    "wrong",
    "lenet_1999",
    "LeNet was published in 1999.",
    "LeNet-5 in 1998 (Proc. IEEE 86(11)), its predecessors in 1989 (Neural Computation 1(4)) and 1990 (NIPS 2).",
)
TOPIC.sourced(
    "true",
    "as_good_as_svms",
    "LeNet was as accurate as the support vector machines of its time.",
    "MNIST test error 0.95 % and, with distortions, 0.8 %; SVMs 1.1, 1.0 and 0.8 % (LeCun et al. 1998, figure 9, "
    "as generally known).",
)
TOPIC.sourced(
    "true",
    "cheques",
    "Cash machines used LeNet to read checks.",
    "Dive into Deep Learning, English 1.0, chapter on LeNet.",
)
TOPIC.sourced(
    "wrong",
    "no_relu_or_max_pooling_before",
    "In the 1990s, neither ReLU nor max pooling had been invented.",
    "Rectified units: Fukushima, 1969 to 1975; max pooling: Yamaguchi 1990, Weng 1992. LeNet used neither.",
)
TOPIC.sourced(
    "true",
    "imagenet_2009_alexnet_2012",
    "ImageNet was presented in 2009 by Fei-Fei Li's group; Krizhevsky, Sutskever and Hinton won its contest in 2012.",
    "Deng et al., CVPR 2009; Krizhevsky et al. 2012.",
)
TOPIC.sourced(
    "loose",
    "imagenet_2010",
    "ImageNet is from 2010.",
    "The data set was published in 2009; the first contest was in 2010.",
)
TOPIC.sourced(
    "loose",
    "better_by_41_percent",
    "AlexNet was 41 % better than the runner-up.",
    _(
        "Top-5 error {winner} % to {second} % (Krizhevsky et al. 2012): {fewer:.1f} % fewer errors, {points:.1f}"
        " points.",
        winner=15.3,
        second=26.2,
        fewer=100 * (1 - 15.3 / 26.2),
        points=26.2 - 15.3,
    ),
)
TOPIC.sourced(
    "loose",
    "hinton_and_his_student",
    "AlexNet was made by Hinton and his student Krizhevsky.",
    "Sutskever, the second author, is missing.",
)
TOPIC.sourced(
    "wrong",
    "first_on_a_gpu",
    "AlexNet was the first network that was trained on GPUs.",
    "Convolutional networks had been trained on GPUs before: Ciresan et al. 2011 is reference [5] of the paper.",
)
TOPIC.sourced(
    "true",
    "two_towers_for_memory",
    "AlexNet was split in two because the memory of one GPU was too small.",
    "Two GTX 580 of 3 GB each (Krizhevsky et al. 2012, section 3.2).",
)
TOPIC.sourced(
    "true",
    "gain_by_lrn_and_overlap",
    "Response normalization lowers the top-5 error by 1.2 points and overlapping pooling by 0.3.",
    _(
        "Top-1 and top-5: 1.4 and 1.2; 0.4 and 0.3 (Krizhevsky et al. 2012). His run notes: {lrn_1:.2f} and"
        " {lrn_5:.2f}; {overlap_1:.2f} and {overlap_5:.2f} (computerhistory/AlexNet-Source-Code).",
        lrn_1=42.034 - 40.664,
        lrn_5=19.362 - 18.210,
        overlap_1=41.058 - 40.664,
        overlap_5=18.510 - 18.210,
    ),
)
TOPIC.sourced(
    "loose",
    "learning_with_kernels_2001",
    "The book Learning with Kernels was published in 2001.",
    "Library catalogs list it under 2002.",
)
TOPIC.sourced(
    "true",
    "multiple_view_geometry_2000",
    "The book Multiple View Geometry was published in 2000.",
    "First edition, Hartley and Zisserman.",
)
