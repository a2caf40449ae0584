"""Notes of Scores on tiny data: few test images leave the explainable variance of most subjects roughly known, and raw scores
of features that know nothing have either sign."""

OF_TINY_DATA = ("explainable variance", "The raw score of")


def notes_of(score) -> list[str]:
    """Notes of a Score but those on its test images' explainable variance and on the signs of its raw scores."""
    return [note for note in score.attrs.get("notes", ()) if not any(text in note for text in OF_TINY_DATA)]
