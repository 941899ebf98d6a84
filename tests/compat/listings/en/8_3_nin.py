# %%
from classicnets.compat import d2l
import torch
from torch import nn

# %%
def nin_block(out_channels, kernel_size, strides, padding):
    return nn.Sequential(nn.LazyConv2d(out_channels, kernel_size, strides, padding), nn.ReLU(),
                         nn.LazyConv2d(out_channels, kernel_size=1), nn.ReLU(),
                         nn.LazyConv2d(out_channels, kernel_size=1), nn.ReLU())

# %%
class NiN(d2l.Classifier):
    def __init__(self, lr=0.1, num_classes=10):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(
            nin_block(96, kernel_size=11, strides=4, padding=0), nn.MaxPool2d(3, stride=2),
            nin_block(256, kernel_size=5, strides=1, padding=2), nn.MaxPool2d(3, stride=2),
            nin_block(384, kernel_size=3, strides=1, padding=1), nn.MaxPool2d(3, stride=2), nn.Dropout(0.5),
            nin_block(num_classes, kernel_size=3, strides=1, padding=1), nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten())
        self.net.apply(d2l.init_cnn)

# %%
NiN().layer_summary((1, 1, 224, 224))

# %%
model = NiN(lr=0.05)
trainer = d2l.Trainer(max_epochs=1, num_gpus=1)
data = d2l.FashionMNIST(batch_size=2, resize=(224, 224))
model.apply_init([next(iter(data.get_dataloader(True)))[0]], d2l.init_cnn)
trainer.fit(model, data)

# %% check
assert set(model.board.data) == {'train_loss', 'val_loss', 'val_acc'}

import re

shapes = [tuple(map(int, sizes.split(', '))) for sizes in re.findall(r'output shape:\s+torch.Size\(\[(.*)\]\)', printed())]
assert shapes == [(1, 96, 54, 54), (1, 96, 26, 26), (1, 256, 26, 26), (1, 256, 12, 12), (1, 384, 12, 12), (1, 384, 5, 5), (1, 384, 5, 5),
                  (1, 10, 5, 5), (1, 10, 1, 1), (1, 10)]
