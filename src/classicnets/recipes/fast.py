"""Our own recipes, from no paper: high accuracy in minutes on 2 CPU cores, about two for `lenet_d2l` and its variation
and six for `alexnet_28`. They were chosen on a validation split of the training set, with one seed each
(studies/choose_fast.py, studies/results/choose_fast.jsonl), never on the test split; the number of epochs is set
by the time. The recipe for any other network was not tuned.

    classicnets train lenet_d2l --recipe fast
    classicnets train lenet_d2l --recipe fast --set net.activation=relu net.pool=max
    classicnets train alexnet_28 --recipe fast
    classicnets train my_net.py:net            (the default for your own network)
"""

from dataclasses import replace

from classicnets.values import Recipe

LENET = Recipe(
    source="fast",
    net="lenet_d2l",
    data="fashion_mnist",
    epochs=30,
    batch_size=128,
    lr=0.03,
    optimizer="adamw",
    weight_decay=0.01,
    schedule="one_cycle",
    initialize="xavier_uniform",
    mean=(0.286,),
    std=(0.353,),
    flip=True,
    views=2,
    validation=0.05,
    monitor="validation",
)

# With ReLU and max pooling instead of sigmoid and average pooling: a lower learning rate, and shifts against
# overfitting.
LENET_RELU_MAX = replace(LENET, variation=(("activation", "relu"), ("pool", "max")), lr=0.003, shift=1)

# Over ten epochs, batch normalization with larger feature maps after conv1 gained 0.7 points over a first version of
# the network. For that version, shifts by 2 pixels cost 1.1 points; Xavier initialization and less dropout gained none.
ALEXNET_28 = Recipe(
    source="fast",
    net="alexnet_28",
    data="fashion_mnist",
    epochs=14,
    batch_size=256,
    lr=0.003,
    optimizer="adamw",
    weight_decay=0.01,
    schedule="one_cycle",
    mean=(0.286,),
    std=(0.353,),
    views=2,
    flip=True,
    validation=0.05,
    monitor="validation",
)

# Any module: initial weights as built, a learning rate for ReLU networks, and no flips, which would turn a b into a d.
ANY = Recipe(
    source="fast",
    net="",
    data="fashion_mnist",
    epochs=15,
    batch_size=128,
    lr=0.003,
    optimizer="adamw",
    weight_decay=0.01,
    schedule="one_cycle",
    mean=(0.286,),
    std=(0.353,),
    validation=0.05,
    monitor="validation",
)

RECIPES = (LENET, LENET_RELU_MAX, ALEXNET_28, ANY)
