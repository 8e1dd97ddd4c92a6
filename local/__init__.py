"""The parts of `make run` that production has elsewhere: local AWS, monitoring broker, a demo."""
