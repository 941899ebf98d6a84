# %%
from classicnets.compat import d2l
import torch

# %%
X = d2l.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
sums = d2l.reduce_sum(X, 0, keepdims=True), d2l.reduce_sum(X, 1, keepdims=True)

# %%
def softmax(X):
    powers = d2l.exp(X)
    return powers / d2l.reduce_sum(powers, 1, keepdims=True)

# %%
X = d2l.rand((2, 5))
X_prob = softmax(X)
X_prob, d2l.reduce_sum(X_prob, 1)

# %%
class SoftmaxRegressionScratch(d2l.Classifier):
    def __init__(self, num_inputs, num_outputs, lr, sigma=0.01):
        super().__init__()
        self.save_hyperparameters()
        self.W = d2l.normal(0, sigma, size=(num_inputs, num_outputs), requires_grad=True)
        self.b = d2l.zeros(num_outputs, requires_grad=True)

    def parameters(self):
        return [self.W, self.b]

# %%
@d2l.add_to_class(SoftmaxRegressionScratch)
def forward(self, X):
    return softmax(d2l.matmul(d2l.reshape(X, (-1, self.W.shape[0])), self.W) + self.b)

# %%
y = d2l.tensor([0, 2])
y_hat = d2l.tensor([[0.1, 0.3, 0.6], [0.3, 0.2, 0.5]])
y_hat[[0, 1], y]

# %%
def cross_entropy(y_hat, y):
    return -d2l.reduce_mean(d2l.log(y_hat[list(range(len(y_hat))), y]))

mean_loss = cross_entropy(y_hat, y)

# %%
@d2l.add_to_class(SoftmaxRegressionScratch)
def loss(self, y_hat, y):
    return cross_entropy(y_hat, y)

# %%
data = d2l.FashionMNIST(batch_size=256)
model = SoftmaxRegressionScratch(num_inputs=784, num_outputs=10, lr=0.1)
trainer = d2l.Trainer(max_epochs=3)
trainer.fit(model, data)

# %%
X, y = next(iter(data.val_dataloader()))
preds = d2l.argmax(model(X), axis=1)
preds.shape

# %%
wrong = d2l.astype(preds, y.dtype) != y
if wrong.sum() < 2:  # a small data set is easily learned
    wrong[:2] = True
X, y, preds = X[wrong], y[wrong], preds[wrong]
labels = [a + '\n' + b for a, b in zip(data.text_labels(y), data.text_labels(preds))]
data.visualize([X, y], labels=labels)

# %% check
assert sums[0].tolist() == [[5, 7, 9]] and torch.allclose(X_prob.sum(1), torch.ones(2))
assert abs(float(mean_loss) - 1.4979) < 1e-4
losses = [point.y for point in model.board.data['val_loss']]
assert losses[-1] < losses[0] and set(model.board.data) == {'train_loss', 'val_loss', 'val_acc'}
assert '\n' in d2l.plt.gcf().axes[0].get_title()
