# %%
from classicnets.compat import d2l
import torch
from torch import nn

def conv_block(input_channels, num_channels):
    return nn.Sequential(nn.BatchNorm2d(input_channels), nn.ReLU(),
                         nn.Conv2d(input_channels, num_channels, kernel_size=3, padding=1))

# %%
class DenseBlock(nn.Module):
    def __init__(self, num_convs, input_channels, num_channels):
        super().__init__()
        self.net = nn.Sequential(*[conv_block(input_channels + i * num_channels, num_channels) for i in range(num_convs)])

    def forward(self, X):
        for block in self.net:
            X = torch.cat((X, block(X)), dim=1)
        return X

# %%
blk = DenseBlock(2, 3, 10)
Y = blk(torch.randn(4, 3, 8, 8))

# %%
def transition_block(input_channels, num_channels):
    return nn.Sequential(nn.BatchNorm2d(input_channels), nn.ReLU(),
                         nn.Conv2d(input_channels, num_channels, kernel_size=1), nn.AvgPool2d(kernel_size=2, stride=2))

# %%
halved = transition_block(23, 10)(Y).shape

# %%
b1 = nn.Sequential(nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3), nn.BatchNorm2d(64), nn.ReLU(),
                   nn.MaxPool2d(kernel_size=3, stride=2, padding=1))

# %%
num_channels, growth_rate = 64, 32
blocks = []
for i, num_convs in enumerate([4, 4, 4, 4]):
    blocks.append(DenseBlock(num_convs, num_channels, growth_rate))
    num_channels += num_convs * growth_rate
    if i < 3:
        blocks.append(transition_block(num_channels, num_channels // 2))
        num_channels //= 2

# %%
net = nn.Sequential(b1, *blocks, nn.BatchNorm2d(num_channels), nn.ReLU(), nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(),
                    nn.Linear(num_channels, 10))

# %%
lr, num_epochs, batch_size = 0.1, 1, 2
train_iter, test_iter = d2l.load_data_fashion_mnist(batch_size, resize=96)
d2l.train_ch6(net, train_iter, test_iter, num_epochs, lr, d2l.try_gpu())

# %% check
assert 'train acc' in printed() and 'examples/sec on' in printed()
assert Y.shape == (4, 23, 8, 8) and halved == (4, 10, 4, 4) and num_channels == 248
