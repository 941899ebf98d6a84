# %%
from classicnets.compat import d2l
import torch
from torch import nn
from torch.nn import functional as F

# %%
class Residual(nn.Module):
    def __init__(self, num_channels, use_1x1conv=False, strides=1):
        super().__init__()
        self.conv1 = nn.LazyConv2d(num_channels, kernel_size=3, padding=1, stride=strides)
        self.conv2 = nn.LazyConv2d(num_channels, kernel_size=3, padding=1)
        self.conv3 = nn.LazyConv2d(num_channels, kernel_size=1, stride=strides) if use_1x1conv else None
        self.bn1, self.bn2 = nn.LazyBatchNorm2d(), nn.LazyBatchNorm2d()

    def forward(self, X):
        Y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(X)))))
        return F.relu(Y + (self.conv3(X) if self.conv3 else X))

# %%
blk = d2l.Residual(3)
X = d2l.randn(4, 3, 6, 6)
kept = blk(X).shape

# %%
blk = d2l.Residual(6, use_1x1conv=True, strides=2)
half = blk(X).shape

# %%
class ResNet(d2l.Classifier):
    def b1(self):
        return nn.Sequential(nn.LazyConv2d(64, kernel_size=7, stride=2, padding=3), nn.LazyBatchNorm2d(), nn.ReLU(),
                             nn.MaxPool2d(kernel_size=3, stride=2, padding=1))

# %%
@d2l.add_to_class(ResNet)
def block(self, num_residuals, num_channels, first_block=False):
    shrink = [{'use_1x1conv': True, 'strides': 2} if i == 0 and not first_block else {} for i in range(num_residuals)]
    return nn.Sequential(*[d2l.Residual(num_channels, **options) for options in shrink])

# %%
@d2l.add_to_class(ResNet)
def __init__(self, arch, lr=0.1, num_classes=10):
    super(ResNet, self).__init__()
    self.save_hyperparameters()
    self.net = nn.Sequential(self.b1())
    for i, b in enumerate(arch):
        self.net.add_module(f'b{i + 2}', self.block(*b, first_block=(i == 0)))
    self.net.add_module('last', nn.Sequential(nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.LazyLinear(num_classes)))
    self.net.apply(d2l.init_cnn)

# %%
class ResNet18(ResNet):
    def __init__(self, lr=0.1, num_classes=10):
        super().__init__(((2, 64), (2, 128), (2, 256), (2, 512)), lr, num_classes)

# %%
ResNet18().layer_summary((1, 1, 96, 96))

# %%
model = ResNet18(lr=0.01)
trainer = d2l.Trainer(max_epochs=1, num_gpus=1)
data = d2l.FashionMNIST(batch_size=2, resize=(96, 96))
model.apply_init([next(iter(data.get_dataloader(True)))[0]], d2l.init_cnn)
trainer.fit(model, data)

# %%
class ResNeXtBlock(d2l.ResNeXtBlock):
    pass

# %%
blk = d2l.ResNeXtBlock(32, 16, 1)
X = d2l.randn(4, 32, 24, 24)
next_shape = blk(X).shape

# %% check
assert set(model.board.data) == {'train_loss', 'val_loss', 'val_acc'}

import re

shapes = [tuple(map(int, sizes.split(', '))) for sizes in re.findall(r'output shape:\s+torch.Size\(\[(.*)\]\)', printed())]
assert shapes == [(1, 64, 24, 24), (1, 64, 24, 24), (1, 128, 12, 12), (1, 256, 6, 6), (1, 512, 3, 3), (1, 10)]

assert kept == (4, 3, 6, 6) and half == (4, 6, 3, 3) and next_shape == (4, 32, 24, 24)
assert blk.conv2.groups == 2 and d2l.ResNeXtBlock(64, 16, 0.5, use_1x1conv=True, strides=2)(X).shape == (4, 64, 12, 12)
assert Residual(3)(X[:, :3]).shape == (4, 3, 24, 24) and sum(p.numel() for p in model.parameters()) == 11_178_378
