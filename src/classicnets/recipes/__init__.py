"""How nets are trained, as values: one file per source. A recipe names its net and its data by string."""
