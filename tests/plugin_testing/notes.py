"""Notes of Scores on tiny data, whose few test images leave the explainable variance of most subjects roughly known."""


def notes_of(score) -> list[str]:
    """Notes of a Score but those on its test images' explainable variance."""
    return [note for note in score.attrs.get("notes", ()) if "explainable variance" not in note]
