"""Other people's weights: which net they belong to, and how they get into one of ours."""
