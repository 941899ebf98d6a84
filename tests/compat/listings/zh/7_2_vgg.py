# %%
from classicnets.compat import d2l
import torch
from torch import nn

def vgg_block(num_convs, in_channels, out_channels):
    layers = []
    for _ in range(num_convs):
        layers += [nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1), nn.ReLU()]
        in_channels = out_channels
    return nn.Sequential(*layers, nn.MaxPool2d(kernel_size=2, stride=2))

# %%
conv_arch = ((1, 64), (1, 128), (2, 256), (2, 512), (2, 512))

# %%
def vgg(conv_arch):
    blocks, in_channels = [], 1
    for num_convs, out_channels in conv_arch:
        blocks.append(vgg_block(num_convs, in_channels, out_channels))
        in_channels = out_channels
    return nn.Sequential(*blocks, nn.Flatten(), nn.Linear(in_channels * 7 * 7, 4096), nn.ReLU(), nn.Dropout(0.5),
                         nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4096, 10))

net = vgg(conv_arch)

# %%
X = torch.randn(size=(1, 1, 224, 224))
shapes = []
for layer in net:
    X = layer(X)
    shapes.append(tuple(X.shape))
    print(layer.__class__.__name__, 'output shape:\t', X.shape)

# %%
ratio = 16
net = vgg([(num_convs, channels // ratio) for num_convs, channels in conv_arch])

# %%
lr, num_epochs, batch_size = 0.05, 1, 2
train_iter, test_iter = d2l.load_data_fashion_mnist(batch_size, resize=224)
d2l.train_ch6(net, train_iter, test_iter, num_epochs, lr, d2l.try_gpu())

# %% check
assert 'train acc' in printed() and 'examples/sec on' in printed()
assert shapes == [(1, 64, 112, 112), (1, 128, 56, 56), (1, 256, 28, 28), (1, 512, 14, 14), (1, 512, 7, 7), (1, 25088)] + [(1, 4096)] * 6 + [(1, 10)]
