# %%
from classicnets.compat import d2l
import time
import numpy as np
import torch
from torch import nn

# %%
def add_to_class(Class):
    return d2l.add_to_class(Class)

# %%
class A:
    def __init__(self):
        self.b = 1

a = A()

# %%
@d2l.add_to_class(A)
def do(self):
    print('b is', self.b)

a.do()

# %%
class HyperParameters(d2l.HyperParameters):
    pass

# %%
class B(d2l.HyperParameters):
    def __init__(self, a, b, c):
        self.save_hyperparameters(ignore=['c'])
        print('self.a =', self.a, 'self.b =', self.b)
        print('There is no self.c =', not hasattr(self, 'c'))

b = B(a=1, b=2, c=3)

# %%
class ProgressBoard(d2l.ProgressBoard):
    pass

# %%
board = d2l.ProgressBoard('x')
for x in np.arange(0, 10, 0.5):
    board.draw(x, np.sin(x), 'sin', every_n=2)
    board.draw(x, np.cos(x), 'cos', every_n=10)

# %%
class Module(d2l.nn_Module, d2l.HyperParameters):
    def __init__(self, plot_train_per_epoch=2, plot_valid_per_epoch=1):
        super().__init__()
        self.save_hyperparameters()
        self.board = ProgressBoard()

    def training_step(self, batch):
        l = self.loss(self(*batch[:-1]), batch[-1])
        self.board.draw(0, d2l.numpy(d2l.to(l, d2l.cpu())), 'train_loss')
        return l

# %%
class DataModule(d2l.HyperParameters):
    def __init__(self, root='../data', num_workers=4):
        self.save_hyperparameters()

    def train_dataloader(self):
        return self.get_dataloader(train=True)

# %%
class Trainer(d2l.HyperParameters):
    def __init__(self, max_epochs, num_gpus=0, gradient_clip_val=0):
        self.save_hyperparameters()

# %% check
assert 'b is 1' in printed() and 'There is no self.c = True' in printed()
assert len(board.data['sin']) == 10 and len(board.data['cos']) == 2 and board.data['sin'][0].x == 0.25
assert Module().board.data == {} and DataModule().root == '../data' and Trainer(3).hparams['max_epochs'] == 3
