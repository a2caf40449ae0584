"""The first example of the README is a network of one's own, short, and runs."""

import re
from pathlib import Path

from plugin_testing.install_check import REPOSITORY


def test_the_first_example_runs(tiny_dataset, capsys):
    (code, *_) = re.findall(r"```python\n(.*?)```", Path(REPOSITORY, "README.md").read_text("utf-8"), re.DOTALL)
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= 10
    assert code.count('dataset="simulated"') == 1
    names: dict = {}
    exec(compile(code.replace('"simulated"', repr(str(tiny_dataset))), "README.md", "exec"), names)
    assert names["score"].attrs["layers"] == {"IT": "3"}
    assert names["score"].attrs["model_identifier"] == "my-network"
    printed = capsys.readouterr().out.split()
    assert float(printed[0]) == names["score"].item()
