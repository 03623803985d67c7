"""Many runs of one configuration with some of its fields changed, and which of them was best."""
