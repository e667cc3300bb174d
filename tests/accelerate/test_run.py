"""`python -m mlfund.accelerate`: a script runs as by `python`, and may be reported on."""

import pickle
import re
import subprocess
import sys

import pytest

from mlfund.accelerate.__main__ import main
from mlfund.accelerate._record import active

SCRIPT = """
import sys
from sklearn.linear_model import LogisticRegression
print(__name__, __file__, __package__, *sys.argv[1:], sys.path[0])
print(sys.modules["__main__"].LogisticRegression is LogisticRegression)
model = LogisticRegression().fit([[0.0], [1.0], [2.0]], [0, 1, 1])
print(model.predict([[3.0]]), hasattr(type(model), "_replaced"))
"""


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Write a script; what running it in this process changes is undone."""
    monkeypatch.setattr(sys, "argv", ["before"])
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    hook = sys.excepthook

    def write(text, name="script.py"):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    yield write
    if active() is not None:
        from mlfund import accelerate

        accelerate.uninstall()
    assert sys.excepthook is hook


def test_a_script_sees_itself_as_main(script, capsys):
    path = script(SCRIPT)
    main(["--quiet", path, "--report", "-m", "x"])
    out, err = capsys.readouterr()
    folder = path.rpartition("/")[0]
    assert out.splitlines() == [f"__main__ {path} None --report -m x {folder}", "True", "[1] True"]
    assert err == ""


def test_a_module_sees_itself_as_main(script, capsys, monkeypatch):
    path = script(SCRIPT, "a_module_to_run.py")
    monkeypatch.syspath_prepend(path.rpartition("/")[0])
    main(["--quiet", "-m", "a_module_to_run", "--report", "x"])
    out = capsys.readouterr().out
    assert out.startswith(f"__main__ {path}  --report x ")
    assert out.endswith("[1] True\n")


def test_a_folder_with_a_main_is_run(script, tmp_path, capsys):
    script("print(__name__, __package__, [__file__])", "__main__.py")
    main(["--quiet", str(tmp_path)])
    assert capsys.readouterr().out == f"__main__  {[str(tmp_path / '__main__.py')]}\n"


def test_what_a_script_leaves_behind_still_finds_its_classes(script):
    main(["--quiet", script("class Mine:\n    pass\n\n\nname = __name__\n")])
    left = sys.modules["__main__"]
    assert left.name == "__main__"
    assert type(pickle.loads(pickle.dumps(left.Mine()))) is left.Mine


def test_report_on_standard_error(script, capsys):
    main(["--report", script(SCRIPT + "LogisticRegression(dual=True, solver='liblinear')."
                             "fit([[0.0], [1.0]], [0, 1])")])  # fmt: skip
    err = capsys.readouterr().err
    assert re.search(r"LogisticRegression +1 in [\d.]+ s +1 in [\d.]+ s", err)
    assert "scikit-learn's own ran once, because dual=True" in err
    assert err.count("mlfund.accelerate: LogisticRegression: scikit-learn's own runs") == 1
    assert "mlfund is not needed" in err


@pytest.mark.parametrize(("given", "code"), [("3", 3), ("'wrong'", "wrong"), ("", None)])
def test_exit_codes_are_the_scripts(script, given, code):
    with pytest.raises(SystemExit) as ended:
        main(["--quiet", script(f"import sys\nsys.exit({given})")])
    assert ended.value.code == code


def test_a_traceback_begins_in_the_script(script, capsys):
    path = script("def f():\n    return 1 / 0\n\n\nf()\n")
    with pytest.raises(SystemExit) as ended:
        main(["--quiet", "--report", path])
    assert ended.value.code == 1
    shown = capsys.readouterr().err.splitlines()
    assert shown[0] == "Traceback (most recent call last):"
    assert shown[1] == f'  File "{path}", line 5, in <module>'
    assert "ZeroDivisionError: division by zero" in shown
    assert "none: no replaced estimator was fitted in this process" in shown


def test_errors_of_syntax_and_interrupts(script, capsys):
    with pytest.raises(SystemExit):
        main(["--quiet", script("def f(:\n")])
    assert capsys.readouterr().err.splitlines()[0].endswith("line 1")
    with pytest.raises(KeyboardInterrupt):
        main(["--quiet", script("raise KeyboardInterrupt")])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a script, or -m and a module"),
        (["-m"], "give a script, or -m and a module"),
        (["no_such_script.py"], "can't open file 'no_such_script.py'"),
    ],
    ids=str,
)
def test_a_command_line_without_a_script(script, capsys, arguments, message):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_in_a_python_of_its_own(tmp_path):
    (tmp_path / "helper.py").write_text("from sklearn.linear_model import LogisticRegression\n")
    path = tmp_path / "script.py"
    path.write_text(
        "import helper, pickle, sys\n"
        "class Mine(helper.LogisticRegression):\n    pass\n"
        "model = Mine().fit([[0.0], [1.0]], [0, 1])\n"
        "print(type(pickle.loads(pickle.dumps(model))) is Mine, 'torch' in sys.modules)\n"
        "sys.exit(4)\n"
    )
    command = [sys.executable, "-m", "mlfund.accelerate", "--report", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.returncode) == ("True False\n", 4), done.stderr
    assert re.search(r"LogisticRegression +1 in [\d.]+ s +0 in", done.stderr)
