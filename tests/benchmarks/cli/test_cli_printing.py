"""What stands below a table of scores, of models and of layers."""

import numpy as np
import xarray as xr
from brainscore_core.metrics import Score

from brainscore_vision.benchmark_helpers.stimulus_kernels.layers.layer_map import LayerMap
from brainscore_vision.benchmarks.laion_fmri_7t.cli.layers import _print_map
from brainscore_vision.benchmarks.laion_fmri_7t.cli.printing import print_scores
from brainscore_vision.benchmarks.laion_fmri_7t.cli.tables import plain_console

SUBJECTS = ["sub-01", "sub-03", "sub-05"]


def score(layer, *notes, chosen=None):
    made = Score(0.25)
    made.attrs |= {
        "error": 0.01,
        "raw": Score(0.5),
        "normalization": "published",
        "layers": {"IT": layer},
        "notes": list(notes),
        "raw_subjects": xr.DataArray([0.2, 0.25, 0.3], dims="subject", coords={"subject": SUBJECTS}),
        **{subject: Score(0.25) for subject in SUBJECTS},
    }
    for subject in SUBJECTS:
        made.attrs[subject].attrs["raw"] = Score(0.5)
    if chosen:
        made.attrs["layers_chosen"] = chosen
    return made


def test_the_lines_below_a_table_say_what_the_number_is_and_which_layer_each_benchmark_has(capsys):
    print_scores({"net": {"IT-tau": score("a", chosen="on some"), "IT-ood": score("b", chosen="on others")}})
    out = capsys.readouterr().out
    assert "Published: of each subject raw² / ceiling (ridge" in out
    assert "Layers of net: IT=a (IT-tau), IT=b (IT-ood)" in out
    assert "Chosen on some (IT-tau)" in out
    assert "Chosen on others (IT-ood)" in out


def test_names_are_printed_as_they_are(capsys):
    """No emoji, no colours, no markup."""
    print_scores({name: {"IT-tau": score("a", "of :cat:")} for name in ("net.py:a:cat", "net.py:cat:", "[red]net")})
    plain_console().print("net.py:b: LAION [bold]")
    plain_console(stderr=True).print("net.py:car:")
    found = capsys.readouterr()
    assert {"net.py:a:cat", "net.py:cat:", "[red]net"} <= set(found.out.replace("│", " ").replace("┃", " ").split())
    assert "of :cat:" in found.out
    assert (found.out.splitlines()[-1], found.err) == ("net.py:b: LAION [bold]", "net.py:car:\n")


def test_one_layer_for_all_benchmarks_stands_once(capsys):
    print_scores({"net": {"IT-tau": score("a", chosen="on some"), "IT-ood": score("a", chosen="on some")}})
    out = capsys.readouterr().out
    assert "Layers of net: IT=a\n" in out
    assert "Chosen on some\n" in out


def test_notes_that_differ_in_the_subject_alone_are_one(capsys):
    notes = [f"alpha of {subject} in IT is 1e+10." for subject in SUBJECTS]
    print_scores(
        {"net": {"IT-tau": score("a", *notes, "sub-01 is not sub-03."), "IT-ood": score("a", notes[0], "Whole.")}}
    )
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Note")]
    assert said == [
        "Note on net: alpha of sub-01, sub-03, sub-05 in IT is 1e+10.",
        "Note on net: sub-01 is not sub-03.",
        "Note on net: Whole.",
    ]


def test_a_region_that_no_layer_predicts_is_named(capsys):
    places = {"layer": ["first", "second"], "region": ["V1", "IT"]}
    scores = np.array([[-0.2, 0.1], [-0.1, 0.3]])
    scores = xr.DataArray(
        np.stack([scores] * 2, axis=2), coords={**places, "subject": SUBJECTS[:2]}, dims=(*places, "subject")
    )
    limits = xr.DataArray(np.zeros((2, 2, 2)), coords={**places, "limit": ["low", "high"]}, dims=(*places, "limit"))
    facts = {"score": "explained variance", "split": "tau", "pool": "shared"}
    _print_map(LayerMap("net", scores, limits.expand_dims(subject=2), limits, {}, facts, ()), per_subject=False)
    table = capsys.readouterr().out
    assert "> -0.100 [0.000, 0.000]" in table
    assert "> 0.300 [0.000, 0.000]" in table
    assert "No layer scores above 0 in V1:" in table
