# %% not run: needs torchvision

# %% not run: needs torchvision

# %%
from classicnets.compat import d2l
from torch.utils import data

train_iter, test_iter = d2l.load_data_fashion_mnist(256)
mnist_train, mnist_test = train_iter.dataset, test_iter.dataset
len(mnist_train), len(mnist_test)

# %%
mnist_train[0][0].shape

# %%
def labels_of(numbers):
    return d2l.get_fashion_mnist_labels(numbers)

# %%
def grid(images, rows, columns, titles=None, scale=1.5):
    return d2l.show_images(images, rows, columns, titles, scale)

# %%
X, y = next(iter(data.DataLoader(mnist_train, batch_size=18)))
axes = grid(X.reshape(18, 28, 28), 2, 9, titles=labels_of(y))

# %%
batch_size = 256
train_iter = data.DataLoader(mnist_train, batch_size, shuffle=True, num_workers=0 * d2l.get_dataloader_workers())

# %%
timer = d2l.Timer()
for X, y in train_iter:
    continue
f'{timer.stop():.2f} sec'

# %% not run: needs torchvision

# %%
train_iter, test_iter = d2l.load_data_fashion_mnist(32, resize=64)
for X, y in train_iter:
    print(X.shape, X.dtype, y.shape, y.dtype)
    break

# %% check
assert d2l.get_dataloader_workers() == 4 and mnist_train[0][0].shape == (1, 28, 28)
assert len(axes) == 18 and axes[0].get_title() in d2l.get_fashion_mnist_labels(range(10))
assert 'torch.Size([32, 1, 64, 64]) torch.float32 torch.Size([32]) torch.int64' in printed()
