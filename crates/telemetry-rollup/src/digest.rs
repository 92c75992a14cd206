//! What a date's rollup was made from, as one number that stands in its file name.

use telemetry_repository::DataFile;
use telemetry_rollup_engine::{FORMULA_VERSION, RollupConfig};

/// Digest of the formulas, the configuration that enters them, and the names and sizes of the files.
/// Names are never used twice, so equal digests mean equal rollups.
pub(crate) fn digest<'a>(inputs: impl IntoIterator<Item = &'a DataFile>, config: RollupConfig) -> u64 {
    let name = |file: &'a DataFile| file.path.file_name().unwrap_or_default().as_encoded_bytes();
    let mut inputs: Vec<_> = inputs.into_iter().map(|file| (name(file), file.size)).collect();
    inputs.sort();
    let mut hasher = blake3::Hasher::new();
    let settings = [FORMULA_VERSION, config.interval_minutes(), config.sample_interval_seconds()];
    for value in settings {
        hasher.update(&value.to_le_bytes());
    }
    for (name, size) in inputs {
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name);
        hasher.update(&size.to_le_bytes());
    }
    let [a, b, c, d, e, f, g, h, ..] = *hasher.finalize().as_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}
