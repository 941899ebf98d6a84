# %%
from classicnets.compat import d2l
import random
import torch

# %%
def synthetic_data(w, b, num_examples):
    X = d2l.normal(0, 1, (num_examples, len(w)))
    y = d2l.matmul(X, w) + b
    return X, d2l.reshape(y + d2l.normal(0, 0.01, y.shape), (-1, 1))

# %%
true_w, true_b = d2l.tensor([2, -3.4]), 4.2
features, labels = synthetic_data(true_w, true_b, 1000)

# %%
print('features:', features[0], '\nlabel:', labels[0])

# %%
d2l.set_figsize()
d2l.plt.scatter(d2l.numpy(features[:, 1]), d2l.numpy(labels), 1)

# %%
def data_iter(batch_size, features, labels):
    order = list(range(len(features)))
    random.shuffle(order)
    for start in range(0, len(order), batch_size):
        rows = d2l.tensor(order[start: start + batch_size])
        yield features[rows], labels[rows]

# %%
batch_size = 10
for X, y in data_iter(batch_size, features, labels):
    print(X, '\n', y)
    break

# %%
w = d2l.normal(0, 0.01, size=(2, 1), requires_grad=True)
b = d2l.zeros(1, requires_grad=True)

# %%
def linreg(X, w, b):
    return d2l.matmul(X, w) + b

# %%
def squared_loss(y_hat, y):
    return (y_hat - d2l.reshape(y, y_hat.shape)) ** 2 / 2

# %%
def sgd(params, lr, batch_size):
    with torch.no_grad():
        for p in params:
            p -= lr * p.grad / batch_size
            p.grad.zero_()

# %%
lr, num_epochs = 0.03, 3
net, loss = d2l.linreg, d2l.squared_loss

# %%
for epoch in range(num_epochs):
    for X, y in data_iter(batch_size, features, labels):
        loss(net(X, w, b), y).sum().backward()
        d2l.sgd([w, b], lr, batch_size)
    with torch.no_grad():
        train_l = loss(net(features, w, b), labels)
        print(f'epoch {epoch + 1}, loss {float(train_l.mean()):f}')

# %%
print(f'w: {true_w - d2l.reshape(w, true_w.shape)}')
print(f'b: {true_b - b}')

# %% check
assert float(train_l.mean()) < 1e-3
assert torch.allclose(w.detach().reshape(-1), true_w, atol=0.02) and abs(b.item() - true_b) < 0.02
assert torch.equal(linreg(X, w, b), d2l.linreg(X, w, b)) and torch.equal(squared_loss(X, X + 1), d2l.squared_loss(X, X + 1))
