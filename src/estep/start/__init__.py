"""Starting rules: partitions, centres and responsibilities from complete data, as pure functions."""
