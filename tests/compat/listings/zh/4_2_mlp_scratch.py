# %%
from classicnets.compat import d2l
import torch
from torch import nn

# %%
batch_size = 256
train_iter, test_iter = d2l.load_data_fashion_mnist(batch_size)

# %%
num_inputs, num_outputs, num_hiddens = 784, 10, 256
W1 = nn.Parameter(d2l.randn(num_inputs, num_hiddens, requires_grad=True) * 0.01)
b1 = nn.Parameter(d2l.zeros(num_hiddens, requires_grad=True))
W2 = nn.Parameter(d2l.randn(num_hiddens, num_outputs, requires_grad=True) * 0.01)
b2 = nn.Parameter(d2l.zeros(num_outputs, requires_grad=True))
params = [W1, b1, W2, b2]

# %%
def relu(X):
    return torch.max(X, d2l.zeros_like(X))

# %%
def net(X):
    hidden = relu(d2l.reshape(X, (-1, num_inputs)) @ W1 + b1)
    return hidden @ W2 + b2

# %%
loss = nn.CrossEntropyLoss(reduction='none')

# %%
num_epochs, lr = 10, 0.1
updater = torch.optim.SGD(params, lr=lr)
d2l.train_ch3(net, train_iter, test_iter, loss, num_epochs, updater)

# %%
d2l.predict_ch3(net, test_iter)

# %% check
assert d2l.evaluate_accuracy(net, test_iter) > 0.8
assert len(d2l.plt.gcf().axes) == 6
