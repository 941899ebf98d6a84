"""LeNet on Fashion-MNIST, as in *Dive into Deep Learning*, English edition 1.0.

The code is the book's with one import changed (there: `from d2l import torch as d2l`). Takes a minute or two on a CPU.
In a notebook the curves are updated during training; this script prints the figures to standard error.
"""

from torch import nn

from classicnets.compat import d2l


class LeNet(d2l.Classifier):
    """Two convolutions and three dense layers; lazy layers find out their shapes themselves."""

    def __init__(self, lr=0.1, num_classes=10):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(
            nn.LazyConv2d(6, kernel_size=5, padding=2),
            nn.Sigmoid(),
            nn.AvgPool2d(kernel_size=2, stride=2),
            nn.LazyConv2d(16, kernel_size=5),
            nn.Sigmoid(),
            nn.AvgPool2d(kernel_size=2, stride=2),
            nn.Flatten(),
            nn.LazyLinear(120),
            nn.Sigmoid(),
            nn.LazyLinear(84),
            nn.Sigmoid(),
            nn.LazyLinear(num_classes),
        )


LeNet().layer_summary((1, 1, 28, 28))

trainer = d2l.Trainer(max_epochs=10, num_gpus=1)
data = d2l.FashionMNIST(batch_size=128)
model = LeNet(lr=0.1)
model.apply_init([next(iter(data.get_dataloader(True)))[0]], d2l.init_cnn)
trainer.fit(model, data)
