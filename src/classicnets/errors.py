"""The errors a caller may catch. Each says what, where, why and what to type next, under a code that stays the same.

The first digit of a code is the exit code of the command line: 1 the check failed, 2 usage, 3 data, 4 environment.
"""

from __future__ import annotations


class ClassicnetsError(Exception):
    """A mistake or mishap that the user can do something about.

    `code` is a key of `CODES`; `where`, `why` and `hint` may be empty; `hint` is one thing to paste, or several.
    """

    exit_code = 1

    def __init__(
        self, code: str, what: str, *, where: str = "", why: str = "", hint: str | tuple[str, ...] = ()
    ) -> None:
        super().__init__(what)
        self.code, self.what, self.where, self.why = code, what, where, why
        self.hints = (hint,) if isinstance(hint, str) else hint

    def __str__(self) -> str:
        lines = [f"error[{self.code}]: {self.what}"]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.why:
            lines.append("  why:   " + self.why.replace("\n", "\n         "))
        lines += [f"  {'hint: ' if i == 0 else 'or:   '} {hint}" for i, hint in enumerate(self.hints)]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, object]:
        """The same as plain values, for `--json`."""
        return {
            "error": self.code,
            "what": self.what,
            "where": self.where,
            "why": self.why,
            "hints": list(self.hints),
        }


class CheckFailed(ClassicnetsError):
    """Something was measured and is not as it should be (exit code 1)."""

    exit_code = 1


class UsageError(ClassicnetsError, ValueError):
    """What was asked for cannot be done as asked (exit code 2)."""

    exit_code = 2


class DataError(ClassicnetsError):
    """A file is missing, damaged or not what it claims to be (exit code 3)."""

    exit_code = 3


class MachineError(ClassicnetsError):
    """This machine lacks something: a device, write access, a package (exit code 4)."""

    exit_code = 4


# What `classicnets explain CODE` prints: what it means, the usual causes, the way out.
CODES: dict[str, str] = {
    "CN101": """The loss became infinite or NaN, so training stopped; the last finished epoch is kept.
Usual causes: a learning rate that is too high for this net, or images that were not scaled to about 0..1.
Way out: divide lr by ten (--set lr=0.01); look at the input range with `classicnets data check NAME`.""",
    "CN102": """An exported file does not compute what the net computes, so it was not written.
Both were given the same images, and their probabilities differ by more than rounding explains.
Way out: --format torch; and please report the net, as the fault lies in the export.""",
    "CN103": """int8 costs more accuracy on the test split than is allowed, so nothing was written.
Usual causes: layers whose outputs differ widely in size, few training images to take the ranges from.
Way out: export without --int8, --size-budget for other ways to a small file, or --max-loss POINTS to allow it.""",
    "CN104": """No form of the net fits into the size that was asked for: neither int8, nor its dense layers narrowed to
rank 1, nor both. The message names the smallest size that can be reached. Way out: a larger --size-budget, or train a
smaller net; `classicnets list` shows parameters.""",
    "CN105": """The net could not be put into the file's format. torch follows forward() once with a batch of two and
writes down what happens, so Python that depends on values or on the batch size cannot be followed; and one ONNX file
holds at most 2 GB. Way out: x.flatten(1) instead of x.view(64, -1), torch.where instead of if.""",
    "CN201": """An image of this size (or number of channels) cannot pass through the net.
Each layer turns a side of n pixels into floor((n + 2*padding - kernel) / stride) + 1 pixels; a dense layer takes
exactly as many numbers as it has weights per unit. The message names the first layer where the sum does not work out.
Way out: use the size the net was made for, or make the net for your size.""",
    "CN202": """A name is not known: of a net, a data set, a recipe, a setting or an error code.
Way out: `classicnets list` prints the names; the message shows the nearest one.""",
    "CN203": """There is no recipe of that source for this net. Recipes are found by (source, net), and nothing is
substituted. Way out: --recipe fast works for any net; `classicnets list` shows which recipes exist.""",
    "CN204": """A setting has the wrong type, is out of range, or contradicts another one.
Way out: `classicnets train NET --dry-run` lists every setting with its value; all faults are reported together.""",
    "CN205": """A net could not be loaded from file.py:name. The file is run as Python; the name must be a
torch.nn.Module or a function that returns one when called without arguments.""",
    "CN206": """The command line could not be understood. `classicnets VERB --help` shows what a verb takes.""",
    "CN207": """That is not a run folder, or the net of the run cannot be made again from it.
A run of your own net is made again from the file it came from, which must still hold the same text; a run of a
module that was passed in Python needs that module: cn.Run(folder, net=my_net).""",
    "CN208": """There is nothing to resume: the run is complete, or another value was given together with --resume.""",
    "CN301": """A file is not a sound IDX file (the format of MNIST and Fashion-MNIST: magic number, sizes, bytes), or
not what CIFAR comes as: a tar archive with files of whole records.
Usual causes: a download that broke off, a web page saved under the file's name, a file of another format.
Way out: delete it and fetch it again with `classicnets data get NAME`.""",
    "CN302": """A data set could not be had from any source. The message lists what was tried.
Way out: fetch the files by hand on any machine and run `classicnets data import NAME FOLDER`.""",
    "CN303": """A file has the right name but other bytes than the data set's. MNIST, Fashion-MNIST and KMNIST use the
same file names, so one is easily taken for another; the message says so where the bytes are known.""",
    "CN304": """An image could not be read: it is missing, empty, damaged, absurdly large or not an image, or its
pixels have 32 bits, of which nothing says which is white.
Way out: `classicnets data check FOLDER` lists every such file; `train --on-bad-image skip` leaves them out, says how
many, and names each in the run's split.csv.
With --handwriting: or nothing is drawn on it.""",
    "CN305": """A checkpoint is truncated, damaged or was not written by classicnets. Checkpoints are replaced in one
step, so a truncated one was cut short by a copy or a full disk. A file of somebody else's weights (.safetensors, .pth,
.pt) must hold tensors and plain values alone: nothing in it is executed.""",
    "CN306": """The data and the run do not fit together: other classes, another image shape, or other bytes than the
run was trained on. Or weights do not fit a net.""",
    "CN307": """A folder of images, or a CSV that lists them, cannot be used as a data set.
Images lie in FOLDER/train/CLASS/ with FOLDER/test/CLASS/ or FOLDER/val/CLASS/ or both, or in FOLDER/CLASS/, from
which a fifth of each class is then taken as the test split. With both, val is the validation split: it stands in for
the share of the training images that a recipe keeps aside. Classes are matched by name. Each class has images to
train on and to test with, and no split has classes of its own.
Folders below a class belong to it. Hidden files are ignored; other files that are not images are counted and said.
A CSV has a first line that names its columns: path (or file, image, filename), label (or class) and, if you like,
split, which is train, val or test. It is UTF-8; comma, semicolon and tab separate; paths start from its own folder.
All rules: docs/data-layouts.md.
Where images cannot be kept in the cache (CLASSICNETS_PICTURES=memory, a full disk), they must fit into half of this
machine's memory, at the size the net is given.
Way out: `classicnets data check FOLDER` (or FILE.csv) lists every class and every image that cannot be read.""",
    "CN308": """An .onnx file is damaged, or was not exported by classicnets. A file that was holds its classes and how
images are prepared in its metadata, and takes whole images (input pixels, uint8 [N, H, W, 3]).
Way out: classicnets export RUN makes such a file of a run.""",
    "CN401": """A folder or file could not be written: no permission, no space, or a read-only disk.
Way out: --runs FOLDER chooses where runs go; CLASSICNETS_CACHE chooses where data is kept.""",
    "CN402": """The device is not available on this machine. `classicnets doctor` shows which are.""",
    "CN403": """A package is missing, or too old, that only this feature needs and that is therefore not installed with
classicnets. Way out: install the extra that the message names, for example pip install 'classicnets[tensorboard]'.""",
}
