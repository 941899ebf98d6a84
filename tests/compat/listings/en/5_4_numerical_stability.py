# %%
from classicnets.compat import d2l
import torch

# %%
x = d2l.arange(-8.0, 8.0, 0.1, requires_grad=True)
y = torch.sigmoid(x)
y.backward(torch.ones_like(x))
d2l.plot(x.detach().numpy(), [y.detach().numpy(), x.grad.numpy()], legend=['sigmoid', 'gradient'], figsize=(4.5, 2.5))

# %%
M = d2l.normal(0, 1, size=(4, 4))
print('one matrix\n', M)
for _ in range(100):
    M = d2l.matmul(M, d2l.normal(0, 1, size=(4, 4)))
print('the product of 101 matrices\n', M)

# %% check
assert float(M.abs().max()) > 1e10
assert len(d2l.plt.gca().lines) == 2 and abs(float(x.grad.max()) - 0.25) < 1e-4
