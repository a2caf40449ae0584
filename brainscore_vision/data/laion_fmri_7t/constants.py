"""Facts about LAION-fMRI that every layer of the plugin shares.

Sources are named beside each fact: the dataset's site and package documentation (laion-fmri.hebartlab.com,
github.com/ViCCo-Group/LAION-fMRI), and Brain-Score's published assemblies.
"""

SUBJECTS = ("sub-01", "sub-03", "sub-05", "sub-06", "sub-07")
"""The five people of the release; 02 and 04 do not exist."""

PARTICIPANT_CODES = {"sub-01": "p01", "sub-06": "p02", "sub-05": "p03", "sub-03": "p04", "sub-07": "p05"}
"""Suffix of a subject's unique images. The code is *not* the subject's number (release, stimulus names)."""

REGIONS = ("V1", "V2", "V3", "V4", "IT")
"""Regions stored in the assemblies; each voxel belongs to at most one."""

OTHER_REGION = "other"
"""What assemblies say of a voxel that belongs to none of `REGIONS`, but to some region of interest."""

REGION_UNIONS = {"IT_full": ("V4", "IT")}
"""Regions that are made of stored ones: most of hV4 lies inside the release's ventral mask (97.8 %, site)."""

OOD_TYPES = (
    "shape",
    "relations",
    "unusual",
    "cropped",
    "selfmade",
    "gaudy",
    "illusion-classic",
    "gabor",
    "illusion-natural",
)
"""The nine kinds of out-of-distribution images."""

N_FOLDS = 5
FOLD_FAMILIES = ("cluster_k5", "random")
"""Splits that come in ``N_FOLDS`` folds, each a file of its own."""

SPLIT_FILES = ("tau", "ood", *(f"{family}_{fold}" for family in FOLD_FAMILIES for fold in range(N_FOLDS)))
"""Names of a pool's split files, without their ending."""

PUBLISHED_REPETITIONS = 12
"""The repetitions that nc_12rep refers to: its maps leave images out that lost one (DATASET facts, README of the data)."""

VISUAL_DEGREES = 9.2
"""Width of the images on the screen, in degrees of visual angle (site)."""

BACKGROUND_RGB = (128, 128, 128)
"""Grey on which images were shown; what transparent pixels looked like to people (site)."""

ASSEMBLY_IDENTIFIER = "LAION_fMRI_{subject}"
STIMULUS_SET_IDENTIFIER = "LAION_fMRI_stim"

BIBTEX = """@inproceedings{zerbe_laion_fmri_2026,
    title = {{LAION-fMRI}: A densely sampled {7T-fMRI} dataset providing broad coverage of natural image diversity},
    author = {Zerbe, Josefine and Roth, Johannes and Mell, Maggie Mae and Herholz, Peer and Knapen, Tomas
              and Hebart, Martin N.},
    year = {2026},
    booktitle = {Vision Sciences Society Annual Meeting},
    url = {https://laion-fmri.hebartlab.com}
}"""
