//! Decisions on texts, without a file.
