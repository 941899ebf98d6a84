"""Messages for users can be translated: each is a literal passed to `_` or `plural`, without f-strings or gluing."""

from __future__ import annotations

import ast
import gettext
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import classicnets
from classicnets import text
from classicnets.options import GROUPS
from support.command_line import CommandLine

SOURCE = Path(classicnets.__file__).parent
MODULES = sorted(path for path in SOURCE.rglob("*.py") if path.name != "text.py")
ERRORS = {"UsageError", "DataError", "MachineError", "CheckFailed", "ClassicnetsError"}
PRINTERS = {"say", "print", "error"}  # also as methods: console.print(...), args.parser.error(...)
TRANSLATORS = {"_", "plural"}
SENTENCE = re.compile(r"[^\W\d_]{2,}.*\s.*[^\W\d_]{2,}|^[a-z]{2,}$", re.DOTALL)  # two words, or one
COMMAND_FIELDS = {"command", "option", "input_option"}  # fields to paste into a shell: the same in every language
IN_FORMATTED = re.compile(r"[^\W\d_]{2,}")


def name_of(node: ast.expr) -> str:
    """The name of a function or method, without its object."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def messages(tree: ast.AST) -> Iterator[ast.expr]:
    """The arguments of errors and printing functions that a user reads as text."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = name_of(node.func)
        if name in ERRORS:
            yield from node.args[1:2]
            yield from (keyword.value for keyword in node.keywords if keyword.arg in {"what", "why"})
        elif name in PRINTERS:
            yield from node.args


def faults(message: ast.expr) -> Iterator[str]:
    """What is wrong with a message: text outside of `_` and `plural`, f-strings with words, or glued strings."""
    if isinstance(message, ast.Call):
        if name_of(message.func) in TRANSLATORS:
            yield from translation_faults(message)
            return
        if name_of(message.func) in {"dumps", "line"}:  # JSON
            return
        for argument in [*message.args, *(keyword.value for keyword in message.keywords)]:
            yield from faults(argument)
    elif isinstance(message, ast.JoinedStr):
        words = [str(part.value) for part in message.values if isinstance(part, ast.Constant)]
        if any(map(IN_FORMATTED.search, words)):
            yield "an f-string with words"
    elif isinstance(message, ast.BinOp) and isinstance(message.op, ast.Add | ast.Mod):
        if any(isinstance(part, ast.Constant | ast.JoinedStr) for part in (message.left, message.right)):
            yield "concatenated strings"
    elif isinstance(message, ast.Constant):
        if isinstance(message.value, str) and SENTENCE.search(message.value):
            yield "text that does not pass through _ or plural"
    elif isinstance(message, ast.IfExp):
        yield from (*faults(message.body), *faults(message.orelse))
    elif isinstance(message, ast.BoolOp | ast.List | ast.Tuple):
        for part in message.values if isinstance(message, ast.BoolOp) else message.elts:
            yield from faults(part)


def translation_faults(call: ast.Call) -> Iterator[str]:
    """What is wrong with a call of `_` or `plural`: the message must be a literal, or the name of a constant."""
    forms = call.args[:2] if name_of(call.func) == "plural" else call.args[:1]
    for form in forms:
        if isinstance(form, ast.JoinedStr | ast.BinOp):
            yield "an f-string or concatenation inside of _ or plural"
    for keyword in call.keywords:
        if keyword.arg not in COMMAND_FIELDS and isinstance(keyword.value, ast.JoinedStr | ast.Constant):
            yield from faults(keyword.value)


def faults_in(tree: ast.AST) -> list[str]:
    """All faults in a module, with their lines; also of calls of `_` and `plural` anywhere."""
    result = [f"line {message.lineno}: {fault}" for message in messages(tree) for fault in faults(message)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and name_of(node.func) in TRANSLATORS:
            result += [f"line {node.lineno}: {fault}" for fault in translation_faults(node)]
    return sorted(set(result))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_messages_can_be_translated(path: Path) -> None:
    assert faults_in(ast.parse(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("path", [*SOURCE.rglob("*.py")], ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_no_message_is_translated_on_import(path: Path) -> None:
    """A translation at import would use the language of that moment, and imports would need the catalogs."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [
        node.lineno
        for node in outside_functions(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in TRANSLATORS
    ]
    assert calls == []


def outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that are executed on import."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from outside_functions(child)


@pytest.mark.parametrize(
    "source",
    [
        'raise DataError("CN304", f"{n} images cannot be read")',
        'raise DataError("CN304", "an image cannot be read")',
        'raise DataError("CN304", _("an image cannot be read"), why="the file " + name)',
        'raise UsageError("CN204", _("no"), why=f"because of {name}")',
        'raise UsageError("CN204", "no such file" if missing else _("damaged"))',
        'raise UsageError("CN204", _(f"{name} is damaged"))',
        'raise MachineError("CN402", "no %s device" % name)',
        'say(f"{n} images")',
        'say("all is read")',
        'console.print("next: " + command)',
        'print(f"wrote {path}")',
        'print(", ".join(["a b", name]) or "none")',
        'args.parser.error("train needs a NET")',
        'say(_("{what} cannot be read", what=f"the image {name}"))',
        'x = plural("{n} " + noun, "{n} images", n)',
    ],
)
def test_finds_messages_that_cannot_be_translated(source: str) -> None:
    assert faults_in(ast.parse(source))


@pytest.mark.parametrize(
    "source",
    [
        'raise DataError("CN304", plural("{n} image", "{n} images", n), where=str(path), why=reason, hint="--limit 5")',
        'say(_("{name} cannot be read", name=name))',
        "print(json.dumps({'net': name}, indent=2))",
        'console.print(f"{name}: {value:<14}")',
        'print("\\n".join(lines))',
        'print(_(OVERVIEW, names=", ".join(names)), end="")',
        'console.print(_("a file") if n == 1 else _("files"))',
        'logger.warning("text for developers")',
    ],
)
def test_accepts_messages_that_can_be_translated(source: str) -> None:
    assert faults_in(ast.parse(source)) == []


class PseudoLanguage(gettext.NullTranslations):
    def gettext(self, message: str) -> str:
        return f"[{message}]"

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return f"[{msgid1 if n == 1 else msgid2}]"


@pytest.fixture
def pseudo_language(monkeypatch: pytest.MonkeyPatch) -> None:
    """Marks each translated message with brackets."""
    monkeypatch.setattr(text, "catalog", lambda language: PseudoLanguage())


def test_pseudo_language_marks_messages(pseudo_language: None) -> None:
    assert text._("{n} of {m}", n=1, m=2) == "[1 of 2]"
    assert text.plural("{n} image", "{n} images", 2) == "[2 images]"


COMMANDS = ["list", "show", "data get", "data check", "train", "evaluate", "predict", "export", "explain", "doctor"]


@pytest.mark.parametrize("command", [*COMMANDS, "weights identify"])
def test_help_is_translated(
    cli: CommandLine,
    capsys: pytest.CaptureFixture[str],
    pseudo_language: None,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    monkeypatch.setenv("COLUMNS", "300")  # no text is wrapped
    with pytest.raises(SystemExit):
        cli(*command.split(), "--help")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("[usage: ]") and re.fullmatch(r"\[.+\]", lines[2]), lines
    headings = {line for line in lines if re.fullmatch(r"\S.*:", line)}
    own_headings = {f"[{group}]:" for group in GROUPS}
    assert "[output]:" in headings and headings <= own_headings | {"[positional arguments]:", "[options]:"}
    options = "\n".join(lines).split("\n\n", 2)[2]
    texts = [line for line in options.splitlines() if line.startswith("  ")]
    names = re.compile(r" +(-\S.*|\S+)")  # an option, or a positional argument, whose text is on the next line
    assert texts and all("[" in line or names.fullmatch(line) for line in texts), texts


def test_overview_is_translated(cli: CommandLine, pseudo_language: None) -> None:
    out = cli()[1]
    assert out.startswith("[classicnets: ") and out.endswith("]")


@pytest.mark.parametrize(
    "arguments",
    [
        ["trian"],
        ["train"],
        ["train", "--resume", "x", "--parallel-runs", "2"],
        ["train", "lenet_d2l", "--sed", "1"],
        ["train", "lenet_d2l", "--set", "epochs"],
        ["show", "CN999"],
        ["show", "lenet_d2l", "--input", "28"],
        ["show", "lenet_d2l", "--set", "lr=1"],
        ["show", "lenet_d2l", "alexnet_d2l", "vgg16"],
        ["show", "own", "--card"],
        ["data", "get"],
        ["data", "get", "mnits"],
        ["data", "preview", "x", "--size", "0"],
        ["predict", "x", "y", "--top", "0"],
        ["predict", "x", "y", "--csv", "--jsonl"],
        ["evaluate", "x", "--json", "--csv"],
        ["evaluate", "x.onnx", "--device", "cuda"],
    ],
    ids=" ".join,
)
def test_errors_are_translated(cli: CommandLine, pseudo_language: None, arguments: list[str]) -> None:
    code, _, err = cli(*arguments)
    assert code == 2
    lines = err.splitlines()
    assert re.match(r"error\[CN\d{3}\]: \[.+\]$", lines[0]), lines[0]
    assert all(line.startswith("[  ") for line in lines[1:] if re.match(r"\[? *(where|why|hint|or):", line)), err


def test_explanation_of_codes_is_translated(cli: CommandLine, pseudo_language: None) -> None:
    out = cli("explain", "CN201")[1]
    assert out.startswith("CN201: [The network") and out.endswith("]\n")
