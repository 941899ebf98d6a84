# %% not run: needs pandas

# %%
from classicnets.compat import d2l
import torch

def download(url, folder, sha1_hash=None):
    return d2l.download(url, folder, sha1_hash)

def extract(filename, folder):
    return d2l.extract(filename, folder)

# %% not run: needs pandas

# %% not run: needs pandas

# %% not run: needs pandas

# %% not run: needs pandas

# %% not run: needs pandas

# %% not run: needs pandas

# %%
def k_fold_data(data, k):
    size = len(data.X) // k
    return [Fold(data.X, data.y, j * size, (j + 1) * size) for j in range(k)]

class Fold(d2l.DataModule):  # tensors in place of the tables of the house prices
    def __init__(self, X, y, start=0, stop=0, batch_size=64):
        super().__init__()
        self.save_hyperparameters()

    def get_dataloader(self, train):
        held_out = torch.zeros(len(self.X), dtype=torch.bool)
        held_out[self.start: self.stop] = True
        return self.get_tensorloader((self.X, self.y), train, ~held_out if train else held_out)

# %%
def k_fold(trainer, data, k, lr):
    val_loss, models = [], []
    for i, data_fold in enumerate(k_fold_data(data, k)):
        model = d2l.LinearRegression(lr)
        model.board.yscale = 'log'
        if i != 0:
            model.board.display = False
        trainer.fit(model, data_fold)
        val_loss.append(float(model.board.data['val_loss'][-1].y))
        models.append(model)
    print(f'average validation log mse = {sum(val_loss) / len(val_loss)}')
    return models

# %%
X = d2l.randn(200, 5)
data = Fold(X, 12 + 0.1 * d2l.matmul(X, d2l.ones(5, 1)))
trainer = d2l.Trainer(max_epochs=10)
models = k_fold(trainer, data, k=5, lr=0.05)

# %%
preds = [model(data.X) for model in models]
ensemble_preds = d2l.reduce_mean(d2l.exp(d2l.concat(preds, 1)), 1)
prices = d2l.numpy(ensemble_preds)

# %% check
assert len(models) == 5 and prices.shape == (200,)
losses = [point.y for point in models[0].board.data['val_loss']]
assert losses[-1] < losses[0] / 10
