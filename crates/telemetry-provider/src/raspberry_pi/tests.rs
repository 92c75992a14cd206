//! Programs that stand for vcgencmd.
