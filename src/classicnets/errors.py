"""The errors that a caller may catch, each with a code that never changes and an explanation of that code.

The first digit of a code is the exit code of the command line: 1 a check failed, 2 usage, 3 data, 4 environment. Codes
that begin with 5 are answers of `classicnets serve`, and never the end of a command.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from classicnets.text import N_, _, visible

# What an operating system says of files, which is in English: the usual reasons (`why`) that are not ours.
_OF_SYSTEM = {
    N_("File exists"),
    N_("File name too long"),
    N_("Input/output error"),
    N_("Is a directory"),
    N_("No space left on device"),
    N_("No such file or directory"),
    N_("Not a directory"),
    N_("Operation not permitted"),
    N_("Permission denied"),
    N_("Read-only file system"),
    N_("Too many levels of symbolic links"),
    N_("Too many open files"),
}


class ClassicnetsError(Exception):
    """An error that the user can act on.

    Args:
        code: A key of `CODES`.
        what: What happened, as one sentence.
        where: The file, option or layer; may be empty.
        why: The reason; may be empty or have several lines.
        hint: A command or option to try next, or several.
    """

    exit_code = 1

    def __init__(
        self, code: str, what: str, *, where: str = "", why: str = "", hint: str | tuple[str, ...] = ()
    ) -> None:
        super().__init__(what)
        self.code, self.what, self.where = code, what, where
        self.why = _(why) if why in _OF_SYSTEM else why
        self.hints = (hint,) if isinstance(hint, str) else hint

    def __reduce__(self) -> tuple[Any, ...]:
        """How the error is passed to another process."""
        return partial(type(self), self.code, self.what, where=self.where, why=self.why, hint=self.hints), ()

    def __str__(self) -> str:
        lines = [f"error[{self.code}]: {self.what}"]
        if self.where:
            lines.append(_("  where: {where}", where=self.where))
        if self.why:
            lines.append(_("  why:   {why}", why=self.why.replace("\n", "\n         ")))
        for i, hint in enumerate(each.replace("\n", "\n         ") for each in self.hints):
            lines.append(_("  or:    {hint}", hint=hint) if i else _("  hint:  {hint}", hint=hint))
        return visible("\n".join(lines))

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook shows in place of the traceback; %debug still opens the debugger."""
        return str(self).splitlines()

    def to_dict(self) -> dict[str, object]:
        """Return plain values for `--json`."""
        return {
            "error": self.code,
            "what": self.what,
            "where": self.where,
            "why": self.why,
            "hints": list(self.hints),
        }


class CheckFailed(ClassicnetsError):
    """A measured result is not acceptable (exit code 1)."""

    exit_code = 1


class UsageError(ClassicnetsError, ValueError):
    """The request is invalid (exit code 2)."""

    exit_code = 2


class DataError(ClassicnetsError):
    """A file is missing, damaged or of the wrong format (exit code 3)."""

    exit_code = 3


class MachineError(ClassicnetsError):
    """This machine lacks a device, write access or a package (exit code 4)."""

    exit_code = 4


class RequestError(ClassicnetsError):
    """A request to `classicnets serve` cannot be answered; the server continues."""

    exit_code = 5


# What `classicnets explain CODE` prints: what happened, why it matters, what to do. Translated when it is printed.
CODES: dict[str, str] = {
    "CN101": """The training loss became infinite or NaN, so training stopped. The last finished epoch is saved.
Further steps would only produce NaN weights. The usual causes are a learning rate that is too high for this network,
and images that are not scaled to about 0..1.
What to do: divide lr by ten (--set lr=0.01), and check the input range with `classicnets data check NAME`.""",
    "CN102": """The exported file does not compute the same outputs as the network, so it was not written.
Both received the same images, and their probabilities differ by more than rounding explains. Predictions of the file
would not be those that you measured. If the network itself gives an image other outputs each time, or other outputs
among other images, the message says so: no file can agree with such a network.
What to do: correct forward() if the network is at fault; otherwise export with --format torch, and please report the
network, because this is a bug in the export.""",
    "CN103": """int8 quantization lowers the test accuracy by more than the allowed limit, so nothing was written.
The usual causes are layers whose outputs have very different ranges, and too few training images for calibration.
What to do: export without --int8, use --size-budget for other ways to a small file, or raise the limit with
--max-loss POINTS.""",
    "CN104": """No version of the network fits into the requested size: not int8, not dense layers reduced to rank 1,
and not both together. The message gives the smallest size that is possible.
What to do: raise --size-budget, or train a smaller network (`classicnets list` shows the numbers of parameters).""",
    "CN105": """The network could not be converted to the file format.
torch traces forward() once with a batch of two images, so it cannot convert Python code that depends on values or on
the batch size; the message names the line. ONNX lacks some of torch's operators, ExecuTorch more of them. One ONNX file
holds at most 2 GB.
What to do: write x.flatten(1) instead of x.view(64, -1), and torch.where instead of if. For an operator that ONNX
lacks, export with --format torch; for one that ExecuTorch lacks, with --format onnx or torch.""",
    "CN106": """The outputs of the network are not finite numbers.
Probabilities and metrics from infinite or NaN logits would have no meaning. Either weights are not finite, because the
training diverged: the message names these tensors. Or the outputs are too large for the precision: bfloat16 and
int8 have fewer digits than float32.
What to do: use --precision float32; if weights are not finite, use another checkpoint, or train again with a lower
learning rate.""",
    "CN107": """The network is too large for a web page.
A page runs in the browser of every visitor, who downloads the network and keeps it and the outputs of all its layers in
memory; on a phone, too. A page in one file also has the networks of all epochs as text.
What to do: quantize the network with --int8, write a folder instead of a single file, or train a smaller network
(`classicnets list` shows the numbers of parameters). Files of other formats have no such limit.""",
    "CN201": """The network cannot process images of this size or number of channels.
Along each side, a layer turns n pixels into floor((n + 2*padding - kernel) / stride) + 1 pixels. A dense layer needs
exactly as many inputs as it has weights per unit. The message names the first layer that does not fit.
What to do: use the image size that the network is made for, or build the network for your size.""",
    "CN202": """A name is unknown: of a network, a data set, a recipe, a setting, an exercise or an error code.
Names are never guessed, because a different network or setting gives different results.
What to do: use the nearest name, which the message shows; `classicnets list` prints all names.""",
    "CN203": """There is no recipe from this source for this network.
Recipes are looked up by source and network, and are never replaced by another one, because results would then not be
comparable with the published ones.
What to do: use --recipe fast or --recipe d2l, which work for every network; `classicnets list` shows all recipes.""",
    "CN204": """A setting has the wrong type, is out of range, or contradicts another setting.
All problems are reported together, before any data is read.
What to do: `classicnets train NET --dry-run` lists every setting with its value.""",
    "CN205": """A network could not be loaded from file.py:name or a graph file, or a Python value is not a network.
The file is run as Python code, without arguments, and may import the files beside it. The name must be a
torch.nn.Module, or a function or class that gives one when it is called without arguments. Code that is only for
running the file as a script, such as parsing arguments or training, belongs below `if __name__ == "__main__":`.
A graph file NAME.graph.json lists the layers of a network in the order of computation. Each has a name, a kind, the
names of the layers that it reads, and its settings; the message names the layer that is wrong. Nothing in it is run.
In Python, pass a module, not its class: cn.show(MyNet()).
What to do: correct the file or the name, then try `classicnets show file.py:name`.""",
    "CN206": """The command line is not valid.
What to do: `classicnets COMMAND --help` shows the arguments and options of a command.""",
    "CN207": """The folder is not a run folder, or the network of the run cannot be built again.
A run of your own network is built again from its Python file and the files beside it that it imports. Their text must
be unchanged, because other code would give another network for the same weights. The run folder has copies of them.
run.json and study.json are checked before they are used; the message names each key that is missing or not allowed.
What to do: pass a file with --net FILE.py:NET. In Python, pass a module: cn.Run(folder, net=my_net).""",
    "CN208": """There is nothing to resume: the run is complete, or a setting was given together with --resume.
A resumed run keeps its settings, so that its result is the same as that of an uninterrupted run.
What to do: start a new run to train with other settings. To train a complete run further, start a new run with its
weights: classicnets train RUN --weights RUN.""",
    "CN209": """The network cannot be trained or used as a classifier.
Before any data is read, it is called in training and evaluation mode with batches of one, two and five images. It must
return one tensor of finite logits [N, classes]. In evaluation mode, the logits of an image must be the same in every
call and must not depend on the other images of the batch. All weights must be registered parameters in float32.
Otherwise its predictions would change from call to call, or weights would be neither trained nor saved.
What to do: change the line that the message names, then try `classicnets train file.py:name --dry-run`.""",
    "CN210": """The state dict of the network does not hold everything that its outputs depend on.
A checkpoint holds the state dict. The network was built again and loaded from it, and gave other outputs than the
network in memory. evaluate, predict and export would all use that other network, and a resumed run would differ.
What to do: register what forward() reads. A tensor becomes a buffer with self.register_buffer("mean", tensor), and
layers in a list become self.layers = nn.ModuleList(layers).""",
    "CN211": """Another process is training the run.
Two processes that write into one run folder would mix their checkpoints and their history. The process that trains a
run holds a lock on the file .lock in its folder. The lock ends with the process, even if it is killed; only a file
system without locks, on which a process of another machine was killed, leaves a file that must be removed by hand.
evaluate, predict and export only read a run, so they work in the meantime.
What to do: wait, or stop the process that the message names. It saves a checkpoint at Ctrl-C.""",
    "CN212": """A run folder or a torch program contains code that did not run on this machine before.
A run of your own network is built again by running its Python file, and a .pt2 file may contain code that torch runs
when it opens the file. Code from elsewhere can do whatever you can do, so it is not run without a question. Which code
was run is recorded in $XDG_STATE_HOME/classicnets/trusted (default: ~/.local/state), for each user, by its contents:
runs and files that you make on this machine are known, wherever you copy them. Trust covers the files that a run was
started with, not those that are put beside them later.
What to do: if you trust who made it, add --trust (in Python: trust=True), once. Otherwise ask for an .onnx file, which
needs no code, or read the Python file and pass it with --net FILE.py:NET.""",
    "CN213": """The processes that share a run cannot find each other: the environment of a process is incomplete.
A process that torchrun starts reads its number and the address of the others from environment variables: RANK,
WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR and MASTER_PORT. A job on a varying number of hosts (--nnodes 1:2)
also needs an id, by which it finds its unfinished run after a restart.
What to do: start the processes with torchrun, or let --processes N do it on one machine. To train with one process
where RANK or WORLD_SIZE are set for another program, unset them.""",
    "CN214": """The processes that share a run were started in different ways, or a job again with other options.
Each process computes a part of the same run. With other options, another version of classicnets or torch, or other
data, the parts would not belong together. The message names the first process that differs, and how.
What to do: start every process with the same command and the same environment on all machines.""",
    "CN215": """The run cannot be shared by this number of processes on this machine.
On a CPU, several processes need several cores: on one core they only take turns. On CUDA, each process needs a device
of its own. More processes than cores are allowed, up to 8 for each core, but are slower than as many as cores.
What to do: use fewer processes, or leave out --processes.""",
    "CN216": """A run cannot be divided over its processes as --parallel asks for.
towers needs two processes and a network that is built of two towers, as AlexNet was in 2012: only the layers that the
registry names may read both. Variations that read the channels of both elsewhere, such as --set net.norm=lrn, cannot be
divided. hybrid needs dense layers (nn.Linear) with enough weights, whose numbers of outputs the number of processes
divides. Each process needs an image of every batch, or two with --local-batch-norm.
What to do: use --parallel ddp, which takes every network: each process computes its part of every batch. If the batches
are too small, raise batch_size with --set.""",
    "CN217": """This is not a study, or its arms cannot be compared.
A study is a TOML file with a name, a question, the number of seeds, a base run, and arms that change it. Arms that are
compared must differ, have the same test images, and train with the same seeds, which the study gives them. A measure
that needs validation images needs a recipe that holds some out, because the test split selects nothing.
What to do: change what the message names. classicnets study show pooling prints a study to start from.""",
    "CN218": """The missing runs of a study cannot be trained: they would not be comparable with the finished ones.
The study was edited after it was started, or it was started with another version of classicnets or of torch.
What to do: start it anew with classicnets study run FOLDER/study.toml; the finished runs stay where they are. Or change
the file back, or install the versions that the message names.""",
    "CN219": """The network cannot be written as a file of this library, because a layer has no equivalent there.
Caffe, MXNet and Gluon have fewer layers than torch, and torchvision has certain networks only. With another layer in
its place, the file would give other predictions, so nothing was written. The message names the layer and the reason.
What to do: export the network as ONNX, which has all layers (`classicnets export RUN`), or choose another library.""",
    "CN220": """The solution of an exercise is not shown yet, because there were fewer than two tries.
Every `classicnets exercise check` of the exercise with an answer that can be checked counts as a try. Tries are counted
in $XDG_STATE_HOME/classicnets/exercises (default: ~/.local/state), for each user.
What to do: `classicnets exercise hint ID` gives the next hint; then check an answer.""",
    "CN301": """A file is not valid: either not an IDX file (the format of MNIST and Fashion-MNIST: magic number, sizes,
bytes), or not a CIFAR archive (a tar file whose files consist of complete records).
The usual causes are an interrupted download, a web page saved under the name of the file, and another file format.
What to do: delete the file and download it again with `classicnets data get NAME`.""",
    "CN302": """A data set is not available from any source. The message lists the sources that were tried.
What to do: download the files on any machine, then run `classicnets data import NAME FOLDER`.""",
    "CN303": """A file has the right name but not the contents of this data set.
MNIST, Fashion-MNIST and KMNIST use the same file names, so they are easily confused. If the contents are those of
another known data set, the message names it.
What to do: import the files of the right data set, or download them with `classicnets data get NAME`.""",
    "CN304": """An image cannot be read. It is missing, empty, damaged, incomplete, too large, or not an image of the
formats in docs/data-layouts.md, or it has 32-bit pixels, whose value for white is not defined. With --handwriting, the
image may also be blank.
Training and evaluation stop by default, because results on part of the images would be different results.
What to do: `classicnets data check FOLDER` lists all such files. --on-bad-image skip leaves them out and reports how
many; a run then lists each of them in its split.csv.""",
    "CN305": """A checkpoint or a weights file is truncated, damaged or of an unknown format.
classicnets replaces checkpoints atomically, so a truncated one comes from an interrupted copy or a full disk. Weights
files from elsewhere are those of safetensors, torch.save, MXNet, Caffe and Keras, whatever their names. Only their
tensors are read; no code in them is executed. A checkpoint has a checksum over its weights and metadata, and is refused
if a single bit has changed. If several processes have saved it in parts, all files of its folder are needed.
What to do: copy or download the file again, or use another checkpoint. --trust uses a checkpoint that you have changed
yourself.""",
    "CN306": """The data or the weights do not match. The data has other classes, another image shape or other contents
than the data that the run was trained on, the weights do not fit the network, or run.json contradicts them.
Results on other data could not be compared with those of the run.
What to do: use the original data, or rename classes so that they match; see the message.""",
    "CN307": """A folder of images, or a CSV that lists images, cannot be used as a data set.
Images are in FOLDER/train/CLASS/ together with FOLDER/test/CLASS/ or FOLDER/val/CLASS/ or both, or in FOLDER/CLASS/; in
that case, a fifth of each class becomes the test split. If there are both, val is the validation set and replaces the
share of the training images that a recipe holds out. Classes are matched by name. Each class needs images to train on
and images to test on, and no split may have classes of its own.
Folders inside a class folder belong to that class. Hidden files are ignored; other files that are not images are
counted and reported.
The first line of a CSV names its columns: path (or file, image, filename), label (or class) and, optionally, split,
which is train, val or test. The file is UTF-8; comma, semicolon and tab are separators; paths are relative to the
folder of the CSV. All rules: docs/data-layouts.md.
With CLASSICNETS_IMAGE_CACHE=memory, the decoded images must fit into half of the memory of this machine, at the image
size of the network.
What to do: `classicnets data check FOLDER` (or FILE.csv) lists all classes and all images that cannot be read.""",
    "CN308": """An exported file (.onnx, .pt2 or .pte) is damaged, was changed, or was not exported by classicnets.
Exported files contain their classes and preprocessing as metadata. Other files lack this information. A checksum covers
the graph, the weights and the metadata; programs that optimize ONNX files keep the metadata, but the file counts as
changed.
What to do: create the file with `classicnets export RUN`. --trust uses a file that another program has changed.""",
    "CN309": """The model was trained on all images that it is to be evaluated on, so nothing is left.
Images that it was trained on, or that chose its weights, are recognized by their pixels wherever they lie. They are
left out, because their accuracy says nothing about new images.
What to do: evaluate it on other images, or on the test split of its own data: `classicnets evaluate RUN`. To count
these images, add --include-trained.""",
    "CN310": """Images cannot be decoded while training, because a process that decodes them has died.
Usually the system has ended it for lack of memory.
What to do: resume the run with fewer such processes, as the message says.""",
    "CN311": """The batches of a data iterator cannot be used to train a classifier.
A batch is a pair (X, y) of tensors: images as floating-point numbers, usually in 0..1, and the number of the class of
each image, as int64 of shape [N], from 0 on. The message says what is different in which batch. Class numbers that are
one-hot vectors, floating-point numbers or a column [N, 1] are converted by the line in the hint.
What to do: change the data set or the collate function, so that each batch has this form.""",
    "CN401": """A folder or file cannot be written, or may not be looked into. The permission is missing, or the disk is
full or read-only. A training that stops with it has kept its last checkpoint. Processes that save a large state in
parts need a run folder that all their machines share.
What to do: make space or change the permission; or choose another folder for runs with --runs FOLDER, another file with
-o, another folder for data and for decoded images with the environment variable CLASSICNETS_CACHE, and one for
temporary files with TMPDIR. `classicnets doctor` checks which folders can be written.""",
    "CN402": """The requested device is not available on this machine.
What to do: `classicnets doctor` lists the available devices.""",
    "CN403": """An optional package is missing or too old. Only this feature needs it, so it is not installed with
classicnets.
What to do: install the extra that the message names, for example pip install 'classicnets[tensorboard]'.""",
    "CN404": """The server cannot listen on this address. Usually, another program listens on the same port, perhaps
another `classicnets serve`. Ports below 1024 are reserved for the administrator on many systems.
What to do: choose another port with --port, or let the system choose a free one with --port 0.""",
    "CN405": """A process of a run that several processes share is gone, or does not respond.
The system ends a process if memory runs out, and a queue ends all of them if their time is over. A process may also
wait forever for a disk or a device. The others cannot go on without it. All are started again from the last
checkpoint, at most --max-restarts times (with torchrun: --max-restarts of torchrun, whose default is 0); this error is
the end of the last attempt.
If a whole machine is lost, docs/scale.md says how the others go on without it.
What to do: look at the memory of that machine, then resume the run from its last checkpoint with the command of the
hint, which works with any number of processes. If a step takes longer than --process-timeout, raise it.""",
    "CN406": """The processes of a run cannot be connected with each other.
They meet at an address and a port that torchrun gives to each of them, and then connect directly. Another program may
use the port, a firewall may block it, or a machine may announce an address that the others cannot reach, such as
127.0.0.1. A process may also fail to start, or be slower than the others by more than 30 seconds.
What to do: see the hints. On several machines, the environment variable GLOO_SOCKET_IFNAME names the network interface
that connects them (`ip address` lists them); --rdzv-endpoint HOST:PORT of torchrun chooses where they meet.""",
    "CN407": """This torch cannot train a run with several processes: it is too old, or it was built without
torch.distributed or without its backend gloo.
Other versions of torch.distributed restart processes differently, so a run might hang or end with other weights.
What to do: install the version that the message names, or train with one process.""",
    "CN408": """The Ray cluster cannot be used, or has lost a run too often.
Nothing answers at the address in time, or the cluster has another version of Ray or Python. Or a node has another
version of classicnets or torch: with it, a run could give other results, so it is not started there. Or no node has as
many CPUs, or the GPU, as each run needs. A run whose node or process is lost is resumed from its last checkpoint, up to
three times; if it is lost again, its memory or its disk space may not suffice.
What to do: `ray status` shows the nodes of a cluster. Install the versions that the message names on all nodes. The
runs that are complete are kept; the others can be resumed, on the cluster or on this machine.""",
    "CN501": """The request is malformed: its body, a parameter or a value in it is not what the path expects.
What to do: see /openapi.json of the server for each path with an example, or docs/serve.md.""",
    "CN502": """The server answers only requests with its token, and this request has none, or another one.
What to do: send the header `Authorization: Bearer TOKEN`. In a browser, open the URL that the server printed when it
was started; the browser then remembers the token.""",
    "CN503": """The request names a host that the server does not answer for.
A web page could otherwise reach a server on your machine under a name of its own (DNS rebinding). Known names are
localhost, the name or address of --host, those of --allow-host, and all addresses if the server listens on all of them.
What to do: use one of these names, or start the server with --allow-host NAME.""",
    "CN504": """The server has no such path or model.
What to do: /health lists the models, and /openapi.json the paths.""",
    "CN505": """The path exists, but not for this method of HTTP, such as GET for a path that expects POST.
What to do: use a method of the header Allow.""",
    "CN506": """The request took too long, usually because its body came too slowly.
What to do: send smaller or fewer images in a request, or start the server with a larger --timeout.""",
    "CN507": """The request is larger than the server accepts: its body, or the number of images or values.
What to do: send fewer images in a request, or start the server with a larger --max-body or --max-files.""",
    "CN508": """The body has a type that the server does not read.
What to do: send a form (multipart/form-data) with the field images, JSON with Content-Type application/json, or the
bytes of one image with Content-Type application/octet-stream or image/png, image/jpeg, and so on.""",
    "CN509": """The server has as many requests as it accepts at a time, or is being stopped.
What to do: repeat the request after the number of seconds in the header Retry-After; if this happens often, start the
server with more --workers or a larger --max-waiting.""",
    "CN510": """The server failed to answer a request, because of a fault in classicnets or in the model.
The server continues; its standard error has the details, which are not sent to clients.
What to do: please report the fault with these details.""",
}
