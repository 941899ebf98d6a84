"""OURS, from no paper: the best accuracy for the minutes on 2 CPU cores: about two for `lenet_d2l` and its variation,
six for `alexnet_28`. What was compared, on a validation part of the training set and one seed each, is in
studies/results/choose_fast.jsonl (studies/choose_fast.py makes it); the epochs are what fits the time. The test
split was not looked at. The form for any other net was not tuned.

    classicnets train lenet_d2l --recipe fast
    classicnets train lenet_d2l --recipe fast --set net.activation=relu net.pool=max
    classicnets train alexnet_28 --recipe fast
    classicnets train my_net.py:net            (the default for a net of your own)
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
    initialise="xavier_uniform",
    mean=(0.286,),
    std=(0.353,),
    flip=True,
    views=2,
    validation=0.05,
    monitor="validation",
)

# The same weights with ReLU and maximum for sigmoid and mean: a rate that such a net bears; and shifts, as it learns
# its images by heart.
LENET_RELU_MAX = replace(LENET, variation=(("activation", "relu"), ("pool", "max")), lr=0.003, shift=1)

# Over ten epochs batch normalization, with larger maps behind conv1, gained 0.7 points on a first form of the net, that
# had neither; with that one shifts by 2 pixels cost 1.1 points; neither Xavier's weights nor less dropout gained any.
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

# Any module: weights as its author made them, a rate that ReLU nets bear, and no mirroring: it would make a d of a b.
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
