"""What lies between two unlearned models: losses along paths from one's weights to the other's."""

SOURCE = ("garipov2018",)  # keys of methods/sources.bib
