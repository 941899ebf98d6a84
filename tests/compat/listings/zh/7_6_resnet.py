# %%
from classicnets.compat import d2l
import torch
from torch import nn
from torch.nn import functional as F

class Residual(d2l.Residual):
    def forward(self, X):
        Y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(X)))))
        return F.relu(Y + (self.conv3(X) if self.conv3 else X))

# %%
blk = Residual(3, 3)
X = torch.rand(4, 3, 6, 6)
Y = blk(X)

# %%
wide = Residual(3, 6, use_1x1conv=True, strides=2)
half = wide(X).shape

# %%
b1 = nn.Sequential(nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3), nn.BatchNorm2d(64), nn.ReLU(),
                   nn.MaxPool2d(kernel_size=3, stride=2, padding=1))

# %%
def resnet_block(input_channels, num_channels, num_residuals, first_block=False):
    blocks = []
    for i in range(num_residuals):
        if i == 0 and not first_block:
            blocks.append(d2l.Residual(input_channels, num_channels, use_1x1conv=True, strides=2))
        else:
            blocks.append(d2l.Residual(num_channels, num_channels))
    return blocks

# %%
b2 = nn.Sequential(*resnet_block(64, 64, 2, first_block=True))
b3 = nn.Sequential(*resnet_block(64, 128, 2))
b4 = nn.Sequential(*resnet_block(128, 256, 2))
b5 = nn.Sequential(*resnet_block(256, 512, 2))

# %%
net = nn.Sequential(b1, b2, b3, b4, b5, nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Linear(512, 10))

# %%
X = torch.rand(size=(1, 1, 224, 224))
shapes = []
for layer in net:
    X = layer(X)
    shapes.append(tuple(X.shape))
    print(layer.__class__.__name__, 'output shape:\t', X.shape)

# %%
lr, num_epochs, batch_size = 0.05, 1, 2
train_iter, test_iter = d2l.load_data_fashion_mnist(batch_size, resize=96)
d2l.train_ch6(net, train_iter, test_iter, num_epochs, lr, d2l.try_gpu())

# %% check
assert 'train acc' in printed() and 'examples/sec on' in printed()

assert Y.shape == (4, 3, 6, 6) and half == (4, 6, 3, 3)
assert shapes == [(1, 64, 56, 56), (1, 64, 56, 56), (1, 128, 28, 28), (1, 256, 14, 14), (1, 512, 7, 7), (1, 512, 1, 1),
                  (1, 512), (1, 10)]
assert sum(p.numel() for p in net.parameters()) == 11_178_378
