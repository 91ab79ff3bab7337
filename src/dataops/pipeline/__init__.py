"""The verbs: from a source to a publication, and back."""
