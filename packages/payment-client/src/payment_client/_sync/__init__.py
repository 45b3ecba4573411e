"""The blocking shell: moves what the shared core says over one gRPC channel, nothing more."""
