# %%
from classicnets.compat import d2l
import torch
from torch import nn

# %%
def corr2d(X, K):
    h, w = K.shape
    Y = d2l.zeros((X.shape[0] - h + 1, X.shape[1] - w + 1))
    for i in range(Y.shape[0]):
        for j in range(Y.shape[1]):
            Y[i, j] = d2l.reduce_sum(X[i: i + h, j: j + w] * K)
    return Y

# %%
X = d2l.tensor([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0], [6.0, 7.0, 8.0]])
K = d2l.tensor([[0.0, 1.0], [2.0, 3.0]])
small = d2l.corr2d(X, K), corr2d(X, K)

# %%
class Conv2D(nn.Module):
    def __init__(self, kernel_size):
        super().__init__()
        self.weight = nn.Parameter(d2l.rand(kernel_size))
        self.bias = nn.Parameter(d2l.zeros(1))

    def forward(self, x):
        return d2l.corr2d(x, self.weight) + self.bias

layer = Conv2D((2, 2))
layer(X).sum().backward()

# %%
X = d2l.ones((6, 8))
X[:, 2:6] = 0

# %%
K = d2l.tensor([[1.0, -1.0]])

# %%
Y = d2l.corr2d(X, K)

# %%
turned = d2l.corr2d(d2l.transpose(X), K)

# %%
conv2d = nn.LazyConv2d(1, kernel_size=(1, 2), bias=False)
X = d2l.reshape(X, (1, 1, 6, 8))
Y = d2l.reshape(Y, (1, 1, 6, 7))
lr, losses = 3e-2, []
for i in range(10):
    l = (conv2d(X) - Y) ** 2
    conv2d.zero_grad()
    l.sum().backward()
    conv2d.weight.data[:] -= lr * conv2d.weight.grad
    losses.append(l.sum().item())
    if (i + 1) % 2 == 0:
        print(f'epoch {i + 1}, loss {l.sum():.3f}')

# %%
learned = d2l.reshape(conv2d.weight.data, (1, 2))

# %% check
assert all(result.tolist() == [[19, 25], [37, 43]] for result in small)
assert layer.weight.grad.tolist() == [[8, 12], [20, 24]]
assert Y[0, 0].tolist() == [[0, 1, 0, 0, 0, -1, 0]] * 6 and not turned.any()
assert losses[-1] < losses[0] / 10 and torch.allclose(learned, K, atol=0.4)
