"""How much is simulated: counts of stimuli, trials and voxels."""

from dataclasses import dataclass
from typing import NamedTuple

from ..constants import OOD_TYPES, SUBJECTS
from ..errors import DatasetError


class LostTrials(NamedTuple):
    """Images of one subject that lack their last repetition, by group (the release: eight trials a subject)."""

    unique: int
    shared_4rep: int
    shared_12rep: int


@dataclass(frozen=True)
class Scale:
    """All counts of a simulated dataset."""

    name: str
    shared_laion: int  # shared images shown 12 times
    shared_things_plus: int
    shared_nsd: int  # shared images shown 4 times
    ood: tuple[int, ...]  # the same, in the order of `constants.OOD_TYPES`
    unique_laion: int  # images per subject that only this subject saw, shown 4 times
    unique_things: int
    unique_things_plus: int
    voxels: tuple[int, ...]  # in the order of `constants.REGIONS`
    population: int  # voxels of each of `regions.POPULATIONS`, beside these
    voxel_spread: float  # subjects' regions differ in size by up to this fraction
    sessions: int
    lost: tuple[LostTrials, ...]  # in the order of `constants.SUBJECTS`
    image_size: int  # width and height in pixels
    runs_per_session: int = 12
    embedding_widths: tuple[int, ...] = (24, 24, 24, 27)  # in the order of `released.features.EMBEDDING_MODELS`
    grid: tuple[int, int, int] = (20, 22, 18)  # voxels along the axes of the volumes
    brain_voxels: int = 3_600  # in the brain mask; those of the regions are among them

    @property
    def shared_12rep(self) -> int:
        return self.shared_laion + self.shared_things_plus

    @property
    def shared_4rep(self) -> int:
        return self.shared_nsd + sum(self.ood)

    @property
    def shared(self) -> int:
        return self.shared_12rep + self.shared_4rep

    @property
    def unique(self) -> int:
        """Unique images of one subject."""
        return self.unique_laion + self.unique_things + self.unique_things_plus

    @property
    def stimuli(self) -> int:
        """Images of the whole dataset."""
        return self.shared + len(SUBJECTS) * self.unique

    @property
    def planned_trials(self) -> int:
        """Trials of one subject before any is lost."""
        return 12 * self.shared_12rep + 4 * (self.shared_4rep + self.unique)

    def ood_counts(self) -> dict[str, int]:
        return dict(zip(OOD_TYPES, self.ood, strict=True))

    def lost_trials(self, subject: str) -> LostTrials:
        return self.lost[SUBJECTS.index(subject)]

    def trials(self, subject: str) -> int:
        """Rows of the subject's assembly."""
        return self.planned_trials - sum(self.lost_trials(subject))


_TINY = Scale(  # for unit tests: every group, type and region is there, in seconds
    name="tiny",
    shared_laion=18,
    shared_things_plus=8,
    shared_nsd=14,
    ood=(3,) * len(OOD_TYPES),
    unique_laion=24,
    unique_things=3,
    unique_things_plus=3,
    voxels=(20, 14, 10, 8, 16),
    population=5,
    voxel_spread=0.15,
    sessions=4,
    lost=(LostTrials(1, 0, 1),) * len(SUBJECTS),
    image_size=64,
)
_SMALL = Scale(  # the default: the demo scores seven models on it within minutes
    name="small",
    shared_laion=114,
    shared_things_plus=43,
    shared_nsd=43,
    ood=(15, 12, 11, 10, 6, 5, 5, 5, 5),
    unique_laion=180,
    unique_things=6,
    unique_things_plus=14,
    voxels=(70, 60, 50, 40, 110),
    population=10,
    voxel_spread=0.08,
    sessions=6,
    lost=(LostTrials(2, 0, 1),) * len(SUBJECTS),
    image_size=112,
    embedding_widths=(128, 128, 128, 144),
)
_FULL = Scale(  # the release's counts
    name="full",
    shared_laion=641,
    shared_things_plus=240,
    shared_nsd=240,
    ood=(82, 72, 64, 60, 30, 24, 21, 10, 8),
    unique_laion=4246,
    unique_things=144,
    unique_things_plus=322,
    voxels=(1300, 1250, 1016, 430, 3400),
    population=40,
    voxel_spread=0.0,
    sessions=30,
    lost=tuple(LostTrials(*counts) for counts in ((5, 0, 3), (4, 1, 3), (5, 0, 3), (4, 0, 4), (6, 0, 2))),
    image_size=256,
    embedding_widths=(1024, 1024, 1024, 1152),
    grid=(143, 143, 143),
    brain_voxels=272_080,  # sub-01, anatomical mask
)

SCALES = {scale.name: scale for scale in (_TINY, _SMALL, _FULL)}
"""The scales by name."""


def get_scale(name: str) -> Scale:
    """The scale of that name.

    Raises
    ------
    DatasetError
        If there is none.
    """
    if name not in SCALES:
        raise DatasetError(f"The scale of a simulation is one of {', '.join(SCALES)}; got {name!r}. Choose one.")
    return SCALES[name]
