"""The exercises of the book's chapters on LeNet and AlexNet: questions, hints, and checks that answer."""
