# %%
from classicnets.compat import d2l
import random
import torch

# %%
class SyntheticRegressionData(d2l.DataModule):
    def __init__(self, w, b, noise=0.01, num_train=1000, num_val=1000, batch_size=32):
        super().__init__()
        self.save_hyperparameters()
        n = num_train + num_val
        self.X = d2l.randn(n, len(w))
        self.y = d2l.matmul(self.X, d2l.reshape(w, (-1, 1))) + b + d2l.randn(n, 1) * noise

# %%
data = SyntheticRegressionData(w=d2l.tensor([2, -3.4]), b=4.2)

# %%
print('features:', data.X[0], '\nlabel:', data.y[0])

# %%
@d2l.add_to_class(SyntheticRegressionData)
def get_dataloader(self, train):
    rows = list(range(self.num_train) if train else range(self.num_train, self.num_train + self.num_val))
    if train:
        random.shuffle(rows)
    for i in range(0, len(rows), self.batch_size):
        batch = d2l.tensor(rows[i: i + self.batch_size])
        yield self.X[batch], self.y[batch]

# %%
X, y = next(iter(data.train_dataloader()))
print('X shape:', X.shape, '\ny shape:', y.shape)

# %%
@d2l.add_to_class(d2l.DataModule)
def get_tensorloader(self, tensors, train, indices=slice(0, None)):
    dataset = torch.utils.data.TensorDataset(*[a[indices] for a in tensors])
    return torch.utils.data.DataLoader(dataset, self.batch_size, shuffle=train)

# %%
@d2l.add_to_class(SyntheticRegressionData)
def get_dataloader(self, train):
    rows = slice(0, self.num_train) if train else slice(self.num_train, None)
    return self.get_tensorloader((self.X, self.y), train, rows)

# %%
X, y = next(iter(data.train_dataloader()))
print('X shape:', X.shape, '\ny shape:', y.shape)

# %%
batches = len(data.train_dataloader())

# %% check
assert X.shape == (32, 2) and y.shape == (32, 1) and batches == 32
ours = d2l.SyntheticRegressionData(w=d2l.tensor([2, -3.4]), b=4.2)
assert len(ours.train_dataloader()) == len(ours.val_dataloader()) == 32 and ours.hparams.keys() == data.hparams.keys()
solution = torch.linalg.lstsq(torch.cat([ours.X, torch.ones(2000, 1)], 1), ours.y).solution.flatten()
assert torch.allclose(solution, torch.tensor([2, -3.4, 4.2]), atol=0.01)
