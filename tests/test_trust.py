"""SECURITY.md holds: nothing of the package unpickles, evaluates text or runs a shell."""

import ast
import re
from pathlib import Path

import pytest

import relational_rnn
from relational_rnn.tasks.programs import evaluate

ROOT = Path(__file__).parents[1]
FILES = sorted(Path(relational_rnn.__file__).parent.rglob("*.py"))
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
CALLS = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "pty.spawn"),
    *("yaml.unsafe_load", "yaml.full_load", "torch.hub.load", "pd.read_pickle"),
}
SAFE = {"yaml.SafeLoader", "yaml.CSafeLoader"}


def findings(source: str) -> list[str]:
    """What in a module's source could run the content of a file as code."""
    found = []
    tree = ast.parse(source)
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    loaders = SAFE | {one.name for one in classes if SAFE & set(map(ast.unparse, one.bases))}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names]
            found += [f"import {name}" for name in names if name.split(".")[0] in MODULES]
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        given = {word.arg: ast.unparse(word.value) for word in node.keywords}
        if name in CALLS or given.get("shell", "False") != "False":
            found.append(name)
        if name == "yaml.load" and given.get("Loader") not in loaders:
            found.append("yaml.load without a SafeLoader")
        if name in ("torch.load", "trainer.fit") and given.get("weights_only") != "True":
            found.append(f"{name} without weights_only=True")
        if given.get("allow_pickle", "False") != "False" or "trust_remote_code" in given:
            found.append(f"{name} that unpickles or runs foreign code")
    return found


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "trainer.fit(module, ckpt_path=path)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text, Loader)",
        "class Own(yaml.Loader): pass\nyaml.load(text, Loader=Own)",
        "eval(text)",
        "os.system(text)",
        "subprocess.run(text, shell=True)",
    ],
)
def test_the_search_finds(source):
    assert findings(source)


def test_the_search_lets_pass():
    assert not findings("torch.load(path, weights_only=True)\nmodel.eval()\nyaml.safe_load(text)")
    assert not findings("class Own(yaml.SafeLoader): pass\nyaml.load(text, Loader=Own)")


def test_nothing_unpickles_or_evaluates():
    assert {
        path.name: found for path in FILES if (found := findings(path.read_text("utf-8")))
    } == {}


def test_programs_are_parsed_not_evaluated(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for program in ("__import__('os').mkdir('x')", "(1).__class__", "1if(os)else2", "print(1)"):
        with pytest.raises(ValueError, match="expected"):
            evaluate(program, length=5)
    assert list(tmp_path.iterdir()) == []


def test_every_threat_names_a_test():
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and " | " in line][1:]
    named = re.findall(r"`(tests/\S+\.py)::(\w+)`", text)
    assert rows
    for row in rows:
        assert re.search(r"`(tests/\S+\.py::\w+|make \w+)`", row), row
    for path, name in named:
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, name
