"""prompt -> completion, and evidence -> answer."""
