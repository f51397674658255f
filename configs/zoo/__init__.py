"""The field's published recipes, a file per network and data set: docs/zoo.md."""
