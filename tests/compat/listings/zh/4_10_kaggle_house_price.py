# %%
from classicnets.compat import d2l
import numpy as np
import torch
from torch import nn

names = sorted(d2l.DATA_HUB)

# %%
def download(name, cache_dir='../data'):
    return d2l.download(name, cache_dir)

# %%
def download_extract(name, folder=None):
    return d2l.download_extract(name, folder)

# %% not run: needs pandas

# %%
d2l.DATA_HUB['kaggle_house_test'] = (d2l.DATA_URL + 'kaggle_house_pred_test.csv', d2l.DATA_HUB['kaggle_house_test'][1])

# %% not run: needs pandas

# %% not run: needs pandas

# %% not run: needs pandas

# %% not run: needs pandas

# %% not run: needs pandas

# %% not run: needs pandas

# %%
# tensors of the shape and scale of the house prices, in place of those from the tables
n_train = 100
train_features = d2l.randn(n_train, 5)
train_labels = 180 + 20 * d2l.matmul(train_features, d2l.ones(5, 1))
test_features = d2l.randn(50, 5)

# %%
loss = nn.MSELoss()
in_features = train_features.shape[1]

def get_net():
    return nn.Sequential(nn.Linear(in_features, 1))

# %%
def log_rmse(net, features, labels):
    predicted = torch.clamp(net(features), 1, float('inf'))
    return torch.sqrt(loss(d2l.log(predicted), d2l.log(torch.clamp(labels, 1)))).item()

# %%
def train(net, train_features, train_labels, test_features, test_labels, num_epochs, learning_rate, weight_decay,
          batch_size):
    train_ls, test_ls = [], []
    train_iter = d2l.load_array((train_features, train_labels), batch_size)
    optimizer = torch.optim.Adam(net.parameters(), lr=learning_rate, weight_decay=weight_decay)
    for epoch in range(num_epochs):
        for X, y in train_iter:
            optimizer.zero_grad()
            loss(net(X), y).backward()
            optimizer.step()
        train_ls.append(log_rmse(net, train_features, train_labels))
        if test_labels is not None:
            test_ls.append(log_rmse(net, test_features, test_labels))
    return train_ls, test_ls

# %%
def get_k_fold_data(k, i, X, y):
    size = X.shape[0] // k
    folds = [slice(j * size, (j + 1) * size) for j in range(k)]
    others = [fold for j, fold in enumerate(folds) if j != i]
    return (d2l.concat([X[fold] for fold in others], 0), d2l.concat([y[fold] for fold in others], 0),
            X[folds[i]], y[folds[i]])

# %%
def k_fold(k, X_train, y_train, num_epochs, learning_rate, weight_decay, batch_size):
    train_sum, valid_sum = 0, 0
    for i in range(k):
        data = get_k_fold_data(k, i, X_train, y_train)
        train_ls, valid_ls = train(get_net(), *data, num_epochs, learning_rate, weight_decay, batch_size)
        train_sum, valid_sum = train_sum + train_ls[-1], valid_sum + valid_ls[-1]
        if i == 0:
            d2l.plot(list(range(1, num_epochs + 1)), [train_ls, valid_ls], xlabel='epoch', ylabel='rmse',
                     xlim=[1, num_epochs], legend=['train', 'valid'], yscale='log')
        print(f'fold {i + 1}: train {float(train_ls[-1]):f}, valid {float(valid_ls[-1]):f}')
    return train_sum / k, valid_sum / k

# %%
k, num_epochs, lr, weight_decay, batch_size = 5, 40, 5, 0, 64
train_l, valid_l = k_fold(k, train_features, train_labels, num_epochs, lr, weight_decay, batch_size)
print(f'{k} folds: train {float(train_l):f}, valid {float(valid_l):f}')

# %% not run: needs pandas

# %% not run: needs pandas

# %% check
assert names == ['kaggle_house_test', 'kaggle_house_train']
assert valid_l < 1 and len(d2l.plt.gca().lines) == 2 and d2l.plt.gca().get_yscale() == 'log'
assert [part.shape[0] for part in get_k_fold_data(5, 1, train_features, train_labels)] == [80, 80, 20, 20]
