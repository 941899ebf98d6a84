"""Claims about data and training; their sources settle them."""

from __future__ import annotations

from claims.claim import Topic

TOPIC = Topic("Data and training")

TOPIC.sourced(
    "wrong",
    "input_is_padded",
    "AlexNet's input is an image padded to 3x224x224.",
    "It is a 224x224 crop of a 256x256 image (Krizhevsky et al. 2012, section 4.1).",
)
TOPIC.sourced(
    "true",
    "augmentation",
    "AlexNet is trained on mirrored, cropped and recolored images.",
    "Krizhevsky et al. 2012, section 4.1.",
)
TOPIC.sourced(
    "true",
    "book_s_alexnet_settings",
    "The book trains AlexNet on Fashion-MNIST, 28x28 enlarged to 224, batch 128, lr 0.01, 10 epochs.",
    "d2l-ai/d2l-zh, alexnet.md.",
)
TOPIC.sourced(
    "true",
    "book_s_lenet_settings",
    "The book trains LeNet in batches of 256; a GPU makes it faster.",
    "d2l-ai/d2l-zh, lenet.md; the publisher's own runs report 55,000 to 103,000 images per second.",
)
TOPIC.sourced(
    "wrong",
    "lenet_used_weight_decay",
    "LeNet was regularized by weight decay only.",
    "Neither LeCun et al. 1998 (as generally known) nor the book's `train_ch6` has weight decay.",
)
TOPIC.sourced(
    "true",
    "book_s_lenet_learns",
    "The book's LeNet learns Fashion-MNIST as printed.",
    "Twenty runs of the book's recipe: test accuracy 0.7959 ± 0.0236 ([results](results.md)); 130 published runs: "
    "0.8042 ± 0.0155.",
)
TOPIC.sourced(
    "true",
    "book_s_alexnet_learns",
    "The book's AlexNet learns Fashion-MNIST as printed.",
    "A run of the book's recipe: test accuracy 0.8814 after ten epochs ([results](results.md)); 82 published runs: "
    "0.8795 ± 0.0047.",
)
TOPIC.sourced(
    "true",
    "lenet_5_s_error",
    "LeNet-5 reaches an error of 0.95 %, with distortions 0.8 %.",
    "LeCun et al. 1998, figure 9. A run of `classicnets train lenet5_1998`, without distortions and without their "
    "second-order learning rates: 1.08 % of 10,000 test images after 20 epochs ([results](results.md)).",
)
TOPIC.sourced(
    "loose",
    "relu_is_cheaper",
    "ReLU is cheaper to compute than sigmoid and tanh.",
    "The layer alone: sigmoid takes 1.08 times as long, tanh 1.07 times. In training steps of LeNet and `alexnet_28`, "
    "no difference can be seen (`python studies/activation_cost.py`).",
)
