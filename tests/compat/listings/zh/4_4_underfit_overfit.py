# %%
from classicnets.compat import d2l
import math
import numpy as np
import torch
from torch import nn

# %%
max_degree, n_train, n_test = 20, 100, 100
true_w = np.zeros(max_degree)
true_w[0:4] = [5, 1.2, -3.4, 5.6]
features = np.random.normal(size=(n_train + n_test, 1))
np.random.shuffle(features)
poly_features = features ** np.arange(max_degree) / [math.gamma(i + 1) for i in range(max_degree)]
labels = poly_features @ true_w
labels += np.random.normal(scale=0.1, size=labels.shape)

# %%
true_w, features, poly_features, labels = [
    d2l.tensor(x, dtype=d2l.float32) for x in (true_w, features, poly_features, labels)]

# %%
features[:2], poly_features[:2, :], labels[:2]

# %%
def evaluate(net, data_iter, loss):
    metric = d2l.Accumulator(2)
    for X, y in data_iter:
        out = net(X)
        l = loss(out, d2l.reshape(y, out.shape))
        metric.add(d2l.reduce_sum(l), d2l.size(l))
    return metric[0] / metric[1]

# %%
def train(train_features, test_features, train_labels, test_labels, num_epochs=40):
    loss = nn.MSELoss(reduction='none')
    net = nn.Sequential(nn.Linear(train_features.shape[-1], 1, bias=False))
    batch_size = min(10, train_labels.shape[0])
    train_iter = d2l.load_array((train_features, train_labels.reshape(-1, 1)), batch_size)
    test_iter = d2l.load_array((test_features, test_labels.reshape(-1, 1)), batch_size, is_train=False)
    trainer = torch.optim.SGD(net.parameters(), lr=0.01)
    animator = d2l.Animator(xlabel='epoch', ylabel='loss', yscale='log', xlim=[1, num_epochs], ylim=[1e-3, 1e2],
                            legend=['train', 'test'])
    for epoch in range(num_epochs):
        d2l.train_epoch_ch3(net, train_iter, loss, trainer)
        if epoch == 0 or (epoch + 1) % 20 == 0:
            animator.add(epoch + 1, (d2l.evaluate_loss(net, train_iter, loss), evaluate(net, test_iter, loss)))
    print('weight:', net[0].weight.data.numpy())
    return animator.Y

# %%
good = train(poly_features[:n_train, :4], poly_features[n_train:, :4], labels[:n_train], labels[n_train:])

# %%
under = train(poly_features[:n_train, :2], poly_features[n_train:, :2], labels[:n_train], labels[n_train:])

# %%
over = train(poly_features[:n_train, :], poly_features[n_train:, :], labels[:n_train], labels[n_train:], num_epochs=60)

# %% check
assert good[0][-1] < good[0][0] / 5  # the loss falls
assert good[0][-1] < under[0][-1] / 2  # a line cannot fit it
assert all(len(curves[0]) == len(curves[1]) for curves in (good, under, over)) and len(over[0]) == 4
