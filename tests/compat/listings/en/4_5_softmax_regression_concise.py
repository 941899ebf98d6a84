# %%
from classicnets.compat import d2l
import torch
from torch import nn
from torch.nn import functional as F

# %%
class SoftmaxRegression(d2l.Classifier):
    def __init__(self, num_outputs, lr):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Flatten(), nn.LazyLinear(num_outputs))

    def forward(self, X):
        return self.net(X)

# %%
@d2l.add_to_class(d2l.Classifier)
def loss(self, Y_hat, Y, averaged=True):
    Y_hat, Y = d2l.reshape(Y_hat, (-1, Y_hat.shape[-1])), d2l.reshape(Y, (-1,))
    return F.cross_entropy(Y_hat, Y, reduction='mean' if averaged else 'none')

# %%
data = d2l.FashionMNIST(batch_size=256)
model = SoftmaxRegression(num_outputs=10, lr=0.1)
trainer = d2l.Trainer(max_epochs=3)
trainer.fit(model, data)

# %% check
ours = d2l.SoftmaxRegression(num_outputs=10, lr=0.1)
trainer.fit(ours, data)
for trained in (model, ours):
    losses = [point.y for point in trained.board.data['val_loss']]
    assert losses[-1] < losses[0] and trained.net[1].weight.shape == (10, 784)
