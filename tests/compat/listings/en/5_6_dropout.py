# %%
from classicnets.compat import d2l
import torch
from torch import nn

# %%
def dropout_layer(X, dropout):
    assert 0 <= dropout <= 1
    if dropout == 1:
        return d2l.zeros_like(X)
    return d2l.astype(d2l.rand(X.shape) >= dropout, d2l.float32) * X / (1.0 - dropout)

# %%
X = d2l.reshape(d2l.arange(16, dtype=d2l.float32), (2, 8))
for p in (0, 0.5, 1):
    print(f'dropout_p = {p}:', dropout_layer(X, p))

# %%
class DropoutMLPScratch(d2l.Classifier):
    def __init__(self, num_outputs, num_hiddens_1, num_hiddens_2, dropout_1, dropout_2, lr):
        super().__init__()
        self.save_hyperparameters()
        self.lin1, self.lin2 = nn.LazyLinear(num_hiddens_1), nn.LazyLinear(num_hiddens_2)
        self.lin3, self.relu = nn.LazyLinear(num_outputs), nn.ReLU()

    def forward(self, X):
        H = self.relu(self.lin1(X.reshape((X.shape[0], -1))))
        H = dropout_layer(H, self.dropout_1) if self.training else H
        H = self.relu(self.lin2(H))
        H = dropout_layer(H, self.dropout_2) if self.training else H
        return self.lin3(H)

# %%
hparams = {'num_outputs': 10, 'num_hiddens_1': 256, 'num_hiddens_2': 256, 'dropout_1': 0.5, 'dropout_2': 0.5, 'lr': 0.1}
model = DropoutMLPScratch(**hparams)
data = d2l.FashionMNIST(batch_size=256)
trainer = d2l.Trainer(max_epochs=3)
trainer.fit(model, data)
models = [model]

# %%
class DropoutMLP(d2l.Classifier):
    def __init__(self, num_outputs, num_hiddens_1, num_hiddens_2, dropout_1, dropout_2, lr):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(
            nn.Flatten(), nn.LazyLinear(num_hiddens_1), nn.ReLU(), nn.Dropout(dropout_1),
            nn.LazyLinear(num_hiddens_2), nn.ReLU(), nn.Dropout(dropout_2), nn.LazyLinear(num_outputs))

# %%
model = DropoutMLP(**hparams)
trainer.fit(model, data)
models.append(model)

# %% check
for trained in models:
    losses = [point.y for point in trained.board.data['val_loss']]
    assert losses[-1] < losses[0], losses
assert torch.equal(dropout_layer(X, 0), X) and not dropout_layer(X, 1).any()
