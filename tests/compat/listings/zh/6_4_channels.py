# %%
from classicnets.compat import d2l
import torch

# %%
def corr2d_multi_in(X, K):
    return sum(d2l.corr2d(x, k) for x, k in zip(X, K))

# %%
X = d2l.stack([d2l.reshape(d2l.arange(9.0), (3, 3)), d2l.reshape(d2l.arange(9.0), (3, 3)) + 1])
K = d2l.tensor([[[0.0, 1.0], [2.0, 3.0]], [[1.0, 2.0], [3.0, 4.0]]])
one = corr2d_multi_in(X, K)

# %%
def corr2d_multi_in_out(X, K):
    return d2l.stack([corr2d_multi_in(X, k) for k in K], 0)

# %%
K = d2l.stack((K, K + 1, K + 2), 0)
K.shape

# %%
three = corr2d_multi_in_out(X, K)

# %%
def corr2d_multi_in_out_1x1(X, K):
    inputs, h, w = X.shape
    Y = d2l.matmul(d2l.reshape(K, (K.shape[0], inputs)), d2l.reshape(X, (inputs, h * w)))
    return d2l.reshape(Y, (K.shape[0], h, w))

# %%
X = d2l.normal(0, 1, (3, 3, 3))
K = d2l.normal(0, 1, (2, 3, 1, 1))

# %%
Y1, Y2 = corr2d_multi_in_out_1x1(X, K), corr2d_multi_in_out(X, K)
assert float(d2l.reduce_sum(d2l.abs(Y1 - Y2))) < 1e-5

# %% check
assert one.tolist() == [[56, 72], [104, 120]] and three.shape == (3, 2, 2)
assert three[1].tolist() == [[76, 100], [148, 172]] and Y1.shape == (2, 3, 3)
