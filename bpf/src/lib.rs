//! What the kernel runs.
