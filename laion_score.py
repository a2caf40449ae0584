"""The command ``laion-score``: the plugin's command line, without Brain-Score until a command needs it.

Importing ``brainscore_vision`` takes seconds (torch, pandas, xarray), and importing a module imports the packages around it.
Help, the list of benchmarks and the completion of a shell need none of that: the package ``cli`` is imported here by itself,
under its own name. What its commands import, they import as usual.
"""

import importlib.util
import os
import sys
import warnings
from pathlib import Path

COMMAND_LINE = "brainscore_vision.benchmarks.laion_fmri_7t.cli"


def main() -> None:
    """Run the command that was typed."""
    if not sys.warnoptions:  # whoever asks for warnings gets them
        # those of other packages about their own future, at each start; also in the processes that a command starts
        warnings.simplefilter("ignore", FutureWarning)
        os.environ["PYTHONWARNINGS"] = "ignore::FutureWarning"
    _command_line().main()


def _command_line():
    if COMMAND_LINE not in sys.modules:
        library, *folders = COMMAND_LINE.split(".")
        found = importlib.util.find_spec(library)  # finds it, and runs nothing
        if found is None or found.origin is None:
            sys.exit("laion-score: brainscore-vision is not installed here. Install it: pip install brainscore-vision")
        file = Path(found.origin).parent.joinpath(*folders, "__init__.py")
        spec = importlib.util.spec_from_file_location(COMMAND_LINE, file)
        sys.modules[COMMAND_LINE] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[COMMAND_LINE]


if __name__ == "__main__":
    main()
