# %%
from classicnets.compat import d2l
import numpy as np
import torch
from torch.utils import data

# %%
true_w, true_b = d2l.tensor([2, -3.4]), 4.2
features, labels = d2l.synthetic_data(true_w, true_b, 1000)

# %%
def load_array(data_arrays, batch_size, is_train=True):
    return data.DataLoader(data.TensorDataset(*data_arrays), batch_size, shuffle=is_train)

# %%
batch_size = 10
data_iter = d2l.load_array((features, labels), batch_size)

# %%
next(iter(data_iter))

# %%
from torch import nn

net = nn.Sequential(nn.Linear(2, 1))

# %%
net[0].weight.data.normal_(0, 0.01)
net[0].bias.data.fill_(0)

# %%
loss = nn.MSELoss()

# %%
trainer = torch.optim.SGD(net.parameters(), lr=0.03)

# %%
num_epochs = 3
for epoch in range(num_epochs):
    for X, y in data_iter:
        l = loss(net(X), y)
        trainer.zero_grad()
        l.backward()
        trainer.step()
    l = loss(net(features), labels)
    print(f'epoch {epoch + 1}, loss {l:f}')

# %%
w = net[0].weight.data
print('w:', true_w - d2l.reshape(w, true_w.shape))
b = net[0].bias.data
print('b:', true_b - b)

# %% check
assert features.shape == (1000, 2) and labels.shape == (1000, 1) and len(data_iter) == 100
assert torch.allclose(w.reshape(-1), true_w, atol=0.02) and abs(float(b) - true_b) < 0.02
