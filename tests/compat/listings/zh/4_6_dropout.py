# %%
from classicnets.compat import d2l
import torch
from torch import nn

def dropout_layer(X, dropout):
    assert 0 <= dropout <= 1
    if dropout == 1:
        return d2l.zeros_like(X)
    return d2l.astype(d2l.rand(X.shape) >= dropout, d2l.float32) * X / (1.0 - dropout)

# %%
X = d2l.reshape(d2l.arange(16, dtype=d2l.float32), (2, 8))
for p in (0.0, 0.5, 1.0):
    print(dropout_layer(X, p))

# %%
num_inputs, num_outputs, num_hiddens1, num_hiddens2 = 784, 10, 256, 256

# %%
dropout1, dropout2 = 0.2, 0.5

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin1 = nn.Linear(num_inputs, num_hiddens1)
        self.lin2 = nn.Linear(num_hiddens1, num_hiddens2)
        self.lin3 = nn.Linear(num_hiddens2, num_outputs)

    def forward(self, X):
        H = torch.relu(self.lin1(X.reshape(-1, num_inputs)))
        H = dropout_layer(H, dropout1) if self.training else H
        H = torch.relu(self.lin2(H))
        H = dropout_layer(H, dropout2) if self.training else H
        return self.lin3(H)

net = Net()

# %%
num_epochs, lr, batch_size = 5, 0.5, 256
loss = nn.CrossEntropyLoss(reduction='none')
train_iter, test_iter = d2l.load_data_fashion_mnist(batch_size)
trainer = torch.optim.SGD(net.parameters(), lr=lr)
d2l.train_ch3(net, train_iter, test_iter, loss, num_epochs, trainer)
scratch_accuracy = d2l.evaluate_accuracy(net, test_iter)

# %%
net = nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Dropout(dropout1),
                    nn.Linear(256, 256), nn.ReLU(), nn.Dropout(dropout2), nn.Linear(256, 10))

def init_weights(m):
    if type(m) == nn.Linear:
        nn.init.normal_(m.weight, std=0.01)

net.apply(init_weights)

# %%
trainer = torch.optim.SGD(net.parameters(), lr=lr)
d2l.train_ch3(net, train_iter, test_iter, loss, num_epochs, trainer)

# %% check
assert torch.equal(dropout_layer(X, 0.0), X) and not dropout_layer(X, 1.0).any()
half = dropout_layer(X, 0.5)
assert ((half == 0) | (half == 2 * X)).all()
assert scratch_accuracy > 0.5
assert len(d2l.plt.gca().lines) == 3 and not net.training
