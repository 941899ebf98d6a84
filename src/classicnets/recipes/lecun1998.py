"""Recipe of LeNet-5 on MNIST, 1998, without second-order learning rates and without distorted digits.

    classicnets train lenet5_1998     MNIST, 20 epochs, half an hour on a CPU; one published run, 0.9905

Digits of 28x28 are padded by 2 pixels, and x becomes x * 1.275 - 0.1: the background is -0.1 and ink 1.175. The
published test error is 0.95 % (0.8 % with 540,000 distorted digits), reached after about 10 of the 20 epochs, while the
training error falls to 0.35 %. A run of this recipe, without the second-order method that gave each weight its own
learning rate, ended with 1.08 % and 0.37 % (docs/results.md). The time is estimated from one step with one digit on one
CPU core (x86, torch 2.13.0, November 2026).

Source: LeCun, Bottou, Bengio, Haffner, Proc. IEEE 86(11), 1998, sections II and III, partly second hand.
"""

from classicnets.values import Expected, Recipe

LENET5 = Recipe(
    source="lecun1998",
    net="lenet5_1998",
    data="mnist",
    loss="lecun1998",
    epochs=20,
    batch_size=1,
    lr=0.0005,
    schedule="steps",
    drop_at=(2 / 20, 5 / 20, 8 / 20, 12 / 20),
    drop_to=(0.4, 0.2, 0.1, 0.02),
    initialize="lecun1998",
    image_size=32,
    pad=2,
    mean=(0.1 / 1.275,),
    std=(1 / 1.275,),
    expected=Expected.single(0.9905, "Proc. IEEE 86(11), 1998, figure 9: 0.95 % test error"),
    deviations=(
        "Plain SGD with the global learning rate; the paper divides it for each weight by 0.02 plus a second"
        " derivative, estimated on 500 digits before each epoch: in the first epoch 0.14 to 32 times the global rate.",
        "No distorted digits (the paper reports 0.8 % with them).",
        "The paper does not print the constant j of the loss; the value is ours.",
        "Digits are shuffled in each epoch; the paper does not state whether it did so.",
    ),
)

RECIPES = (LENET5,)
