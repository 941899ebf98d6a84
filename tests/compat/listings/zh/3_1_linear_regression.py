# %%
from classicnets.compat import d2l
import time
import torch

# %%
n = 500
a, b = d2l.ones([n]), d2l.ones([n])

# %%
class Stopwatch(d2l.Timer):
    pass

stopwatch = Stopwatch()

# %%
c = d2l.zeros(n)
stopwatch.start()
for i in range(n):
    c[i] = a[i] + b[i]
f'{stopwatch.stop():.5f} sec'

# %%
stopwatch.start()
d = a + b
f'{stopwatch.stop():.5f} sec'

# %%
import math
import numpy as np

def density(x, mean, std):
    return np.exp(-((x - mean) ** 2) / (2 * std**2)) / (std * math.sqrt(2 * math.pi))

# %%
x = np.arange(-7, 7, 0.05)
pairs = [(0, 1), (0, 2), (3, 1)]
d2l.plot(x, [density(x, mean, std) for mean, std in pairs], xlabel='x', ylabel='p(x)', figsize=(4.5, 2.5),
         legend=[f'mean {mean}, std {std}' for mean, std in pairs])

# %% check
assert torch.equal(c, d) and float(d[0]) == 2
axes = d2l.plt.gca()
assert len(axes.lines) == 3 and axes.get_xlabel() == 'x'
assert [t.get_text() for t in axes.get_legend().get_texts()][2] == 'mean 3, std 1'
assert abs(float(axes.lines[0].get_ydata().max()) - 0.3989) < 1e-3
