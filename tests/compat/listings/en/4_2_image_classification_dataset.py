# %% not run: needs torchvision

# %% not run: needs torchvision

# %%
import time
import torch
from classicnets.compat import d2l

class FashionMNIST(d2l.FashionMNIST):
    pass

data = FashionMNIST(resize=(32, 32))
len(data.train), len(data.val)

# %%
data.train[0][0].shape

# %%
@d2l.add_to_class(FashionMNIST)
def text_labels(self, indices):
    return d2l.get_fashion_mnist_labels(indices)

# %%
@d2l.add_to_class(FashionMNIST)
def get_dataloader(self, train):
    return torch.utils.data.DataLoader(self.train if train else self.val, self.batch_size, shuffle=train)

# %%
X, y = next(iter(data.train_dataloader()))
print(X.shape, X.dtype, y.shape, y.dtype)

# %%
tic = time.time()
for X, y in data.train_dataloader():
    continue
f'{time.time() - tic:.2f} sec'

# %%
def show_images(imgs, num_rows, num_cols, titles=None, scale=1.5):
    raise NotImplementedError

# %%
@d2l.add_to_class(FashionMNIST)
def visualize(self, batch, nrows=1, ncols=8, labels=[]):
    X, y = batch
    d2l.show_images(X.squeeze(1), nrows, ncols, titles=labels or self.text_labels(y))

batch = next(iter(data.val_dataloader()))
data.visualize(batch)

# %% check
assert 'torch.Size([64, 1, 32, 32]) torch.float32 torch.Size([64]) torch.int64' in printed()
assert [axes.get_title() for axes in d2l.plt.gcf().axes] == data.text_labels(batch[1][:8])
digits = d2l.MNIST(batch_size=16)
digits.visualize(next(iter(digits.val_dataloader())))
assert d2l.plt.gcf().axes[0].get_title().isdigit()
assert next(iter(d2l.load_data_mnist(16)[0]))[0].shape == (16, 1, 28, 28)
