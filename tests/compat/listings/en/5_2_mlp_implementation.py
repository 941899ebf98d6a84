# %%
from classicnets.compat import d2l
import torch
from torch import nn

# %%
class MLPScratch(d2l.Classifier):
    def __init__(self, num_inputs, num_outputs, num_hiddens, lr, sigma=0.01):
        super().__init__()
        self.save_hyperparameters()
        self.W1 = nn.Parameter(d2l.randn(num_inputs, num_hiddens) * sigma)
        self.b1 = nn.Parameter(d2l.zeros(num_hiddens))
        self.W2 = nn.Parameter(d2l.randn(num_hiddens, num_outputs) * sigma)
        self.b2 = nn.Parameter(d2l.zeros(num_outputs))

# %%
def relu(X):
    return torch.max(X, d2l.zeros_like(X))

# %%
@d2l.add_to_class(MLPScratch)
def forward(self, X):
    hidden = relu(d2l.matmul(d2l.reshape(X, (-1, self.num_inputs)), self.W1) + self.b1)
    return d2l.matmul(hidden, self.W2) + self.b2

# %%
model = MLPScratch(num_inputs=784, num_outputs=10, num_hiddens=256, lr=0.1)
data = d2l.FashionMNIST(batch_size=256)
trainer = d2l.Trainer(max_epochs=5)
trainer.fit(model, data)
models = [model]

# %%
class MLP(d2l.Classifier):
    def __init__(self, num_outputs, num_hiddens, lr):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Flatten(), nn.LazyLinear(num_hiddens), nn.ReLU(), nn.LazyLinear(num_outputs))

# %%
model = MLP(num_outputs=10, num_hiddens=256, lr=0.1)
trainer.fit(model, data)
models.append(model)

# %% check
for trained in models:
    losses = [point.y for point in trained.board.data['val_loss']]
    assert losses[-1] < losses[0], losses
