"""hits -> prompt, and a model's events -> a cited answer."""
