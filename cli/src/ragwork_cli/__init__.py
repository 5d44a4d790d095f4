"""Command line of Ragwork: the ``ragwork`` script, the operator's commands and those of the enabled plugins."""
