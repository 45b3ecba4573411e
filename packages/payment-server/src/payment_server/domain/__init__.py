"""What a payment is and may become: pure, no input or output, imports nothing of ours above it."""
