# %%
from classicnets.compat import d2l
import numpy as np
import torch
from torch import nn

# %%
class LinearRegression(d2l.Module):
    def __init__(self, lr):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.LazyLinear(1)

# %%
@d2l.add_to_class(LinearRegression)
def forward(self, X):
    return self.net(X)

# %%
@d2l.add_to_class(LinearRegression)
def loss(self, y_hat, y):
    return nn.MSELoss()(y_hat, y)

# %%
@d2l.add_to_class(LinearRegression)
def configure_optimizers(self):
    return torch.optim.SGD(self.parameters(), self.lr)

# %%
model = LinearRegression(lr=0.03)
data = d2l.SyntheticRegressionData(w=d2l.tensor([2, -3.4]), b=4.2)
trainer = d2l.Trainer(max_epochs=3)
trainer.fit(model, data)

# %%
@d2l.add_to_class(LinearRegression)
def get_w_b(self):
    return self.net.weight.data, self.net.bias.data

w, b = model.get_w_b()
print(f'w: {data.w - d2l.reshape(w, data.w.shape)}, b: {data.b - b}')

# %% check
assert torch.allclose(w.flatten(), data.w, atol=0.2) and abs(float(b) - 4.2) < 0.2
ours = d2l.LinearRegression(lr=0.03)
trainer.fit(ours, data)
assert torch.allclose(ours.get_w_b()[0].flatten(), data.w, atol=0.2)
scratch = d2l.LinearRegressionScratch(2, lr=0.03)
trainer.fit(scratch, data)
assert float(scratch.board.data['val_loss'][-1].y) < float(scratch.board.data['val_loss'][0].y)
