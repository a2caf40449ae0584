"""Packaging: our folders go beside brainscore-vision's own, inside its package.

Brain-Score finds plugins by a text search below the folder that ``brainscore_vision`` was imported from, so the files
have to lie there; editable installs cannot serve it. Only folders that are ours alone are listed, and none of their
parents: two distributions never own one file.
"""

import tempfile
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent

FOLDERS = (
    "brainscore_vision/benchmark_helpers/stimulus_kernels",
    "brainscore_vision/benchmarks/laion_fmri_7t",
    "brainscore_vision/data/laion_fmri_7t",
    "brainscore_vision/models/laion_fmri_7t",
)
DATA_SUFFIXES = ("css", "csv", "html", "j2", "js", "json", "md", "svg", "txt", "yaml", "yml")

DOCS = ["furo>=2024.8.6", "myst-parser>=4.0", "sphinx>=8.1"]

ROOTS = [folder.replace("/", ".") for folder in FOLDERS if (HERE / folder).is_dir()]
PACKAGES = [
    package
    for root in ROOTS
    for package in (root, *(f"{root}.{name}" for name in find_packages(str(HERE / root.replace(".", "/")))))
]

# A build folder kept in the checkout would carry deleted files into the next wheel.
with tempfile.TemporaryDirectory(prefix="laion-fmri-7t-build-") as scratch:
    setup(
        name="laion-fmri-7t",
        version="0.1.0",
        description="Brain-Score benchmarks on the LAION-fMRI 7T dataset, from stimulus-by-stimulus kernels",
        long_description=(HERE / "README.md").read_text(encoding="utf-8"),
        long_description_content_type="text/markdown",
        author="LAION-fMRI 7T plugin authors",
        license="MIT",
        license_files=["LICENSE"],
        packages=PACKAGES,
        py_modules=["laion_score"],
        package_data={root: [f"**/*.{suffix}" for suffix in DATA_SUFFIXES] for root in ROOTS},
        python_requires=">=3.11",
        install_requires=[
            "brainscore-vision>=2.4.2,<3",
            "brainscore-core>=2.4",
            "numpy>=1.26",
            "scipy>=1.14",
            "scikit-learn>=1.5",
            "pandas>=2.1",
            "xarray>=2022.3",
            "h5py>=3.12",
            "netCDF4>=1.6.5",
            "h5netcdf>=1.3",
            "nibabel>=5.2",
            "Pillow>=10.3",
            "torch>=2.6",
            "torchvision>=0.21",
            "matplotlib>=3.8.4",
            "tqdm>=4.66.1",
            "boto3>=1.34",
            "botocore>=1.34",
            "peewee>=3.17",
            "psutil>=5.9",
            "PyYAML>=6.0.3",
            "psycopg2-binary>=2.9.9",
            "threadpoolctl>=3.2",
            "typer>=0.29",
            "rich>=13.8",
            "jinja2>=3.1",
            "MarkupSafe>=2.0",
        ],
        extras_require={
            "docs": DOCS,
            "test": [
                *DOCS,
                "markdown-it-py>=3.0",
                "dask>=2025.5",
                "dask-jobqueue>=0.9",
                "distributed>=2025.5",
                "himalaya>=0.4.11",
                "mpmath>=1.3",
                "pytest>=8.2",
                "pytest-check>=2.3",
                "pytest-xdist>=3.8",
                "pyarrow>=21,<22",
                "ruff>=0.17.5,<0.18",
                # an S3 server on this machine
                "moto[s3]>=5.1.10",
                "nilearn>=0.10.4",
                "flask>=3.0",
                "flask-cors>=4.0",
                "selenium>=4.20",
                "setuptools>=77",
                "timm>=1.0.9",
                "wheel>=0.43",
                # the notebook's test and `make notebook`
                "ipykernel>=6.29",
                "nbclient>=0.10",
                "nbformat>=5.10",
            ],
            # later ones want numpy 2, which brainscore-vision rules out, and do not say so in their metadata
            "parquet": ["pyarrow>=21,<22"],
            "sweep": ["dask>=2025.5", "distributed>=2025.5"],
            # schedulers of clusters, SLURM among them
            "cluster": ["dask>=2025.5", "distributed>=2025.5", "dask-jobqueue>=0.9"],
            "timm": ["timm>=1.0.9"],
            "maps": ["nilearn>=0.10.4"],
            "laion": ["laion-fmri @ git+https://github.com/ViCCo-Group/LAION-fMRI.git@main"],
        },
        entry_points={"console_scripts": ["laion-score = laion_score:main"]},
        classifiers=[
            "Intended Audience :: Science/Research",
            "Programming Language :: Python :: 3.11",
            "Programming Language :: Python :: 3.12",
            "Topic :: Scientific/Engineering",
        ],
        options={"build": {"build_base": scratch}, "egg_info": {"egg_base": scratch}},
    )
