"""What some hosts want beside the engine: each package here has an extra of its own, and is switched on by itself."""
