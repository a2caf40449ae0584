"""The identifiers that must be registered, written down a second time on purpose."""

REGISTERED = [
    *(
        f"{family}.{region}-{split}-ridgecv"
        for family in ("LAION_fMRI", "LAION_fMRI_persubject")
        for split in ("tau", "ood")
        for region in ("V1", "V2", "V4", "IT")
    ),
    *(f"LAION_fMRI.{region}-rdm-pearson" for region in ("V1", "V2", "V4", "IT")),
]
