# %%
from classicnets.compat import d2l
import torch
from torch import nn

# %%
def pool2d(X, pool_size, mode='max'):
    h, w = pool_size
    Y = d2l.zeros((X.shape[0] - h + 1, X.shape[1] - w + 1))
    for i in range(Y.shape[0]):
        for j in range(Y.shape[1]):
            window = X[i: i + h, j: j + w]
            Y[i, j] = window.max() if mode == 'max' else window.mean()
    return Y

# %%
X = d2l.tensor([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0], [6.0, 7.0, 8.0]])
largest = pool2d(X, (2, 2))

# %%
means = pool2d(X, (2, 2), 'avg')

# %%
X = d2l.reshape(d2l.arange(16, dtype=d2l.float32), (1, 1, 4, 4))

# %%
results = [nn.MaxPool2d(3)(X)]

# %%
results.append(nn.MaxPool2d(3, padding=1, stride=2)(X))

# %%
results.append(nn.MaxPool2d((2, 3), stride=(2, 3), padding=(0, 1))(X))

# %%
X = d2l.concat((X, X + 1), 1)

# %%
results.append(nn.MaxPool2d(3, padding=1, stride=2)(X))

# %% check
assert largest.tolist() == [[4, 5], [7, 8]] and means.tolist() == [[2, 3], [5, 6]]
assert [r.tolist() for r in results[:3]] == [[[[[10]]]], [[[[5, 7], [13, 15]]]], [[[[5, 7], [13, 15]]]]]
assert results[3].tolist() == [[[[5, 7], [13, 15]], [[6, 8], [14, 16]]]]
