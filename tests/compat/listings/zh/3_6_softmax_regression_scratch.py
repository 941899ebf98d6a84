# %%
from classicnets.compat import d2l
import torch

# %%
batch_size = 256
train_iter, test_iter = d2l.load_data_fashion_mnist(batch_size)

# %%
num_inputs, num_outputs = 784, 10
W = d2l.normal(0, 0.01, size=(num_inputs, num_outputs), requires_grad=True)
b = d2l.zeros(num_outputs, requires_grad=True)

# %%
X = d2l.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
sums = d2l.reduce_sum(X, 0, keepdim=True), d2l.reduce_sum(X, 1, keepdim=True)

# %%
def softmax(X):
    powers = d2l.exp(X)
    return powers / d2l.reduce_sum(powers, 1, keepdim=True)

# %%
X = d2l.normal(0, 1, (2, 5))
probabilities = softmax(X)
probabilities, d2l.reduce_sum(probabilities, 1)

# %%
def net(X):
    return softmax(d2l.matmul(d2l.reshape(X, (-1, W.shape[0])), W) + b)

# %%
y = d2l.tensor([0, 2])
y_hat = d2l.tensor([[0.1, 0.3, 0.6], [0.3, 0.2, 0.5]])
y_hat[[0, 1], y]

# %%
def cross_entropy(y_hat, y):
    return -d2l.log(y_hat[range(len(y_hat)), y])

losses = cross_entropy(y_hat, y)

# %%
def accuracy(y_hat, y):
    if y_hat.ndim > 1 and y_hat.shape[1] > 1:
        y_hat = d2l.argmax(y_hat, axis=1)
    hits = d2l.astype(y_hat, y.dtype) == y
    return float(d2l.reduce_sum(d2l.astype(hits, y.dtype)))

# %%
share = accuracy(y_hat, y) / len(y)

# %%
def evaluate_accuracy(net, data_iter):
    metric = d2l.Accumulator(2)
    with torch.no_grad():
        for X, y in data_iter:
            metric.add(accuracy(net(X), y), d2l.size(y))
    return metric[0] / metric[1]

# %%
class Sums(d2l.Accumulator):
    pass

# %%
before = d2l.evaluate_accuracy(net, test_iter)

# %%
def train_epoch(net, train_iter, loss, updater):
    metric = Sums(3)
    for X, y in train_iter:
        y_hat = net(X)
        l = loss(y_hat, y)
        l.sum().backward()
        updater(X.shape[0])
        metric.add(l.sum(), d2l.accuracy(y_hat, y), y.numel())
    return metric[0] / metric[2], metric[1] / metric[2]

# %%
class Curves(d2l.Animator):
    pass

# %%
def train(net, train_iter, test_iter, loss, num_epochs, updater):
    animator = Curves(xlabel='epoch', xlim=[1, num_epochs], ylim=[0.3, 0.9], legend=['train loss', 'train acc', 'test acc'])
    for epoch in range(num_epochs):
        metrics = train_epoch(net, train_iter, loss, updater)
        animator.add(epoch + 1, metrics + (evaluate_accuracy(net, test_iter),))
    return metrics

# %%
lr = 0.1

def updater(batch_size):
    return d2l.sgd([W, b], lr, batch_size)

# %%
num_epochs = 5
d2l.train_ch3(net, train_iter, test_iter, cross_entropy, num_epochs, updater)

# %%
d2l.predict_ch3(net, test_iter)

# %% check
assert sums[0].tolist() == [[5, 7, 9]] and sums[1].tolist() == [[6], [15]]
assert torch.allclose(probabilities.sum(1), torch.ones(2)) and share == 0.5
assert torch.allclose(losses, torch.tensor([2.3026, 0.6931]), atol=1e-4)
assert d2l.accuracy(y_hat, y) == 1 and before < 0.6
assert d2l.evaluate_accuracy(net, test_iter) == evaluate_accuracy(net, test_iter) > 0.8
assert len(d2l.plt.gcf().axes) == 6 and '\n' in d2l.plt.gcf().axes[0].get_title()
assert train(net, train_iter, test_iter, cross_entropy, 1, updater)[0] < 2.3
