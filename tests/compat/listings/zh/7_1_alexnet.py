# %%
from classicnets.compat import d2l
import torch
from torch import nn

net = nn.Sequential(
    nn.Conv2d(1, 96, kernel_size=11, stride=4, padding=1),
    nn.ReLU(),
    nn.MaxPool2d(kernel_size=3, stride=2),
    nn.Conv2d(96, 256, kernel_size=5, padding=2),
    nn.ReLU(),
    nn.MaxPool2d(kernel_size=3, stride=2),
    nn.Conv2d(256, 384, kernel_size=3, padding=1),
    nn.ReLU(),
    nn.Conv2d(384, 384, kernel_size=3, padding=1),
    nn.ReLU(),
    nn.Conv2d(384, 256, kernel_size=3, padding=1),
    nn.ReLU(),
    nn.MaxPool2d(kernel_size=3, stride=2),
    nn.Flatten(),
    nn.Linear(6400, 4096),
    nn.ReLU(),
    nn.Dropout(p=0.5),
    nn.Linear(4096, 4096),
    nn.ReLU(),
    nn.Dropout(p=0.5),
    nn.Linear(4096, 10))

# %%
X = torch.randn(1, 1, 224, 224)
shapes = []
for layer in net:
    X = layer(X)
    shapes.append(tuple(X.shape))
    print(layer.__class__.__name__, 'output shape:\t', X.shape)

# %%
batch_size = 2
train_iter, test_iter = d2l.load_data_fashion_mnist(batch_size, resize=224)

# %%
lr, num_epochs = 0.01, 1
d2l.train_ch6(net, train_iter, test_iter, num_epochs, lr, d2l.try_gpu())

# %% check
assert 'train acc' in printed() and 'examples/sec on' in printed()
assert shapes == [(1, 96, 54, 54)] * 2 + [(1, 96, 26, 26)] + [(1, 256, 26, 26)] * 2 + [(1, 256, 12, 12)] + [(1, 384, 12, 12)] * 4 + [
    (1, 256, 12, 12)] * 2 + [(1, 256, 5, 5), (1, 6400)] + [(1, 4096)] * 6 + [(1, 10)]
assert sum(p.numel() for p in net.parameters()) == 46_764_746
