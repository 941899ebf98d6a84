"""The published data sets as one dictionary of facts. Importing it reads nothing and needs neither numpy nor torch.

A set is listed only if the SHA-256 of its files was published; a comment names the source. Not listed: EMNIST (six
splits in one archive of 562 MB, images transposed) and QMNIST (labels in another format: eight 32-bit numbers per
image).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

# Role of a file -> its usual name, with or without .gz; "train-images.idx3-ubyte" with a dot is as common.
IDX_NAMES = {
    "train-images": "train-images-idx3-ubyte",
    "train-labels": "train-labels-idx1-ubyte",
    "t10k-images": "t10k-images-idx3-ubyte",
    "t10k-labels": "t10k-labels-idx1-ubyte",
}
# Folders of Debian's archive, which contain every package in their pool; the other ones are in mainland China.
DEBIAN_MIRRORS = ("https://deb.debian.org/debian/",)
DEBIAN_MIRRORS_IN_CHINA = ("https://mirrors.tuna.tsinghua.edu.cn/debian/", "https://mirrors.ustc.edu.cn/debian/")
CIFAR_SHAPE = (3, 32, 32)
CIFAR_PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class DataFile:
    """One file of a data set.

    Attributes:
        role: What it holds, such as "train-images".
        name: Its usual name.
        sha256: Digest in hex.
        size: Bytes.
        digest_of: Whether `sha256` and `size` describe the decompressed "content", or the published "file" where only
            that is known.
    """

    role: str
    name: str
    sha256: str
    size: int
    digest_of: Literal["content", "file"] = "content"


@dataclass(frozen=True)
class Archive:
    """The tar.gz in which the files of a set are published, and the `folder` in it that contains them."""

    file: DataFile
    folder: str


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Facts about a published data set.

    Attributes:
        shape: (channels, height, width) of an image.
        train: Number of training images.
        test: Number of test images.
        download_bytes: Size of the download.
        mirrors: URLs of folders that contain the files, tried in this order.
        mirrors_in_china: Such folders in mainland China, tried afterwards, or first if the texts are in Chinese.
        archive: The archive that contains the files, if they are not published one by one.
        label_bytes: For CIFAR records, the number of label bytes before the pixels; the class is the last. 0 for IDX.
        system_folder: Where the Debian package installs the files.
        package: The file of the Debian package, as it lies in the pool of Debian's mirrors.
        characters: Whether the images are handwritten characters, centered and scaled as in MNIST.
    """

    name: str
    title: str
    license: str
    homepage: str
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    train: int
    test: int
    files: tuple[DataFile, ...]
    download_bytes: int
    mirrors: tuple[str, ...]
    mirrors_in_china: tuple[str, ...] = ()
    archive: Archive | None = None
    label_bytes: int = 0
    system_folder: str = ""
    debian_package: str = ""
    package: DataFile | None = None
    characters: bool = False

    @property
    def file_names(self) -> dict[str, str]:
        """Role -> usual name of each file, without .gz."""
        return {file.role: file.name.removesuffix(".gz") for file in self.files}

    @property
    def fingerprint(self) -> str:
        """16 hex digits that identify the content of the files."""
        return fingerprint({file.role: file.sha256 for file in self.files})


def fingerprint(digests: Mapping[str, str]) -> str:
    """16 hex digits for the files of a set, given as role -> SHA-256."""
    return hashlib.sha256("".join(digests[role] for role in sorted(digests)).encode()).hexdigest()[:16]


def _mnist_files(*digests: str) -> tuple[DataFile, ...]:
    """The four gzipped IDX files of 60,000 and 10,000 gray 28 x 28 images; digests of the content, as in IDX_NAMES."""
    pixels = 28 * 28
    sizes = (16 + 60_000 * pixels, 8 + 60_000, 16 + 10_000 * pixels, 8 + 10_000)
    return tuple(
        DataFile(role, f"{name}.gz", digest, size)
        for (role, name), digest, size in zip(IDX_NAMES.items(), digests, sizes, strict=True)
    )


def _cifar(
    name: str,
    title: str,
    classes: str,
    label_bytes: int,
    archive: Archive,
    mirrors: tuple[str, ...],
    files: Mapping[str, tuple[int, str]],
) -> Dataset:
    """50,000 and 10,000 color 32 x 32 images.

    `classes` are separated by spaces; `files` are name -> (number of images, digest), the test file last.
    """
    *train, test = files
    roles = [*(f"train-{i}" for i, _ in enumerate(train, 1)), "test"]
    return Dataset(
        name=name,
        title=title,
        license="none stated; its page asks to cite A. Krizhevsky's report of 2009",
        homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
        shape=CIFAR_SHAPE,
        classes=tuple(classes.split()),
        train=sum(files[file][0] for file in train),
        test=files[test][0],
        files=tuple(
            DataFile(role, file, digest, count * (label_bytes + CIFAR_PIXELS))
            for role, (file, (count, digest)) in zip(roles, files.items(), strict=True)
        ),
        download_bytes=archive.file.size,
        mirrors=mirrors,
        # tutorials of MindSpore download both archives from there
        mirrors_in_china=("https://mindspore-website.obs.cn-north-4.myhuaweicloud.com/notebook/datasets/",),
        archive=archive,
        label_bytes=label_bytes,
    )


DATASETS: dict[str, Dataset] = {
    "mnist": Dataset(
        name="mnist",
        title="MNIST",
        characters=True,
        license="none stated by its authors (CC BY-SA 3.0 according to Keras)",
        homepage="http://yann.lecun.com/exdb/mnist/",
        shape=(1, 28, 28),
        classes=tuple("0123456789"),
        train=60_000,
        test=10_000,
        # digests of the content: public logs of runs, which agree
        files=_mnist_files(
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
        download_bytes=9_912_422 + 28_881 + 1_648_877 + 4_542,  # tensorflow_datasets, url_checksums/mnist.txt
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        mirrors_in_china=("https://dataset.bj.bcebos.com/mnist/",),  # Paddle, vision/datasets/mnist.py
    ),
    "fashion_mnist": Dataset(
        name="fashion_mnist",
        title="Fashion-MNIST",
        license="MIT",
        homepage="https://github.com/zalandoresearch/fashion-mnist",
        shape=(1, 28, 28),
        classes=(
            *("t-shirt", "trouser", "pullover", "dress", "coat"),
            *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
        ),
        train=60_000,
        test=10_000,
        # digests of the content: the files of the Debian package
        files=_mnist_files(
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
        # tensorflow_datasets, url_checksums/fashion_mnist.txt
        download_bytes=26_421_880 + 29_515 + 4_422_102 + 5_148,
        mirrors=(
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ),
        mirrors_in_china=("https://dataset.bj.bcebos.com/fashion_mnist/",),  # Paddle, vision/datasets/mnist.py
        system_folder="/usr/share/datasets/fashion-mnist",
        debian_package="dataset-fashion-mnist",
        package=DataFile(
            "package",
            "dataset-fashion-mnist_0.0~git20200523.55506a9-1_all.deb",
            # the package lists of Debian 12
            "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
            30_900_652,
            digest_of="file",
        ),
    ),
    "kmnist": Dataset(
        name="kmnist",
        title="Kuzushiji-MNIST",
        characters=True,
        license="CC BY-SA 4.0",
        homepage="https://github.com/rois-codh/kmnist",
        shape=(1, 28, 28),
        classes=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        train=60_000,
        test=10_000,
        # digests of the files: tensorflow_datasets, url_checksums/kmnist.txt; those of the content are not published
        files=(
            DataFile(
                "train-images",
                "train-images-idx3-ubyte.gz",
                "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
                18_165_135,
                "file",
            ),
            DataFile(
                "train-labels",
                "train-labels-idx1-ubyte.gz",
                "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
                29_497,
                "file",
            ),
            DataFile(
                "t10k-images",
                "t10k-images-idx3-ubyte.gz",
                "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
                3_041_136,
                "file",
            ),
            DataFile(
                "t10k-labels",
                "t10k-labels-idx1-ubyte.gz",
                "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
                5_120,
                "file",
            ),
        ),
        download_bytes=18_165_135 + 29_497 + 3_041_136 + 5_120,
        mirrors=("https://codh.rois.ac.jp/kmnist/dataset/kmnist/", "http://codh.rois.ac.jp/kmnist/dataset/kmnist/"),
    ),
    "cifar10": _cifar(
        "cifar10",
        "CIFAR-10",
        "airplane automobile bird cat deer dog frog horse ship truck",
        1,
        Archive(
            DataFile(
                "archive",
                "cifar-10-binary.tar.gz",
                # tensorflow_datasets, url_checksums/cifar10.txt
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
                170_052_171,
                digest_of="file",
            ),
            "cifar-10-batches-bin",
        ),
        (
            "https://www.cs.toronto.edu/~kriz/",
            "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/",
        ),
        # ankane/torchvision-ruby, lib/torchvision/datasets/cifar10.rb
        {
            "data_batch_1.bin": (10_000, "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"),
            "data_batch_2.bin": (10_000, "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"),
            "data_batch_3.bin": (10_000, "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67"),
            "data_batch_4.bin": (10_000, "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48"),
            "data_batch_5.bin": (10_000, "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add"),
            "test_batch.bin": (10_000, "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"),
        },
    ),
    "cifar100": _cifar(
        "cifar100",
        "CIFAR-100",
        "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can"
        " castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin"
        " elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster"
        " man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck"
        " pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk"
        " skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger"
        " tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm",
        2,  # one of 20 superclasses, then the class
        Archive(
            DataFile(
                "archive",
                "cifar-100-binary.tar.gz",
                # tensorflow_datasets, url_checksums/cifar100.txt
                "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
                168_513_733,
                digest_of="file",
            ),
            "cifar-100-binary",
        ),
        ("https://www.cs.toronto.edu/~kriz/",),
        # ankane/torchvision-ruby, lib/torchvision/datasets/cifar100.rb
        {
            "train.bin": (50_000, "f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29"),
            "test.bin": (10_000, "d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a"),
        },
    ),
}
