# %%
import torch
from torch import nn

# %%
def comp_conv2d(conv2d, X):
    Y = conv2d(X.reshape((1, 1) + X.shape))
    return Y.reshape(Y.shape[2:])

X = torch.rand(size=(8, 8))
shapes = [comp_conv2d(nn.LazyConv2d(1, kernel_size=3, padding=1), X).shape]

# %%
shapes.append(comp_conv2d(nn.LazyConv2d(1, kernel_size=(5, 3), padding=(2, 1)), X).shape)

# %%
shapes.append(comp_conv2d(nn.LazyConv2d(1, kernel_size=3, padding=1, stride=2), X).shape)

# %%
shapes.append(comp_conv2d(nn.LazyConv2d(1, kernel_size=(3, 5), padding=(0, 1), stride=(3, 4)), X).shape)

# %% check
assert shapes == [(8, 8), (8, 8), (4, 4), (2, 2)]
