//! Input that is nearly right: one seeded generator for all formats, and a watch over what is made of
//! its cases.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub use fastrand::Rng;

use crate::trials;

/// Number of cases, instead of the usual one.
pub const COUNT: &str = "XTASK_TEST_MUTATIONS";
/// Another seed than the usual one.
pub const SEED: &str = "XTASK_TEST_SEED";

/// Whoever takes longer hangs: ten times of what the slowest cases need, which start programs.
const LONGEST: Duration = Duration::from_secs(60);
/// What the cases may need beyond what was needed before them.
const MOST_MEMORY_KB: u64 = 512 * 1024;
/// Of one case.
const MOST_CHANGES: usize = 8;

/// Where a parser's arithmetic ends.
const NUMBERS: [&str; 14] = [
    "-1",
    "0",
    "255",
    "65536",
    "2147483647",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "-1e400",
    "0x7fffffff",
    "NaN",
];
/// What texts of no particular format hold.
const PIECES: [&str; 16] =
    [" ", "\n", "\t", "\0", ":", "=", "\"", "[", "]", "-", ".", ",", "é", "\u{feff}", "inf", "{}"];
const INTEGERS: [u32; 6] = [0, 1, 0x7f, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];

/// Calls `run` with one [`Mutator`] a case: `usual` times, or as often as [`COUNT`] says. What a case
/// does follows from seed and number alone.
///
/// # Panics
/// If the cases need much memory. A case that hangs ends the process.
pub fn each(what: &str, usual: usize, run: impl FnMut(&mut Mutator)) {
    in_batches(what, usual, 1, run);
}

/// As [`each`], where one case has a batch of inputs, because it is slow.
///
/// # Panics
/// As [`each`].
pub fn in_batches(what: &str, usual: usize, batch: usize, mut run: impl FnMut(&mut Mutator)) {
    let (count, seed) = (trials(COUNT, usual).div_ceil(batch), trials(SEED, 17) as u64);
    let (memory_before, mut slowest) = (most_memory_kb(), (Duration::ZERO, 0));
    let hanging = format!("{what} of seed {seed} hangs: case");
    let watch = Watch::begin(LONGEST, move |case| {
        eprintln!("{hanging} {case}");
        std::process::abort();
    });
    for number in 0..count {
        watch.case.store(number, Ordering::Relaxed);
        let begun = Instant::now();
        let mut mutator = Mutator { random: Rng::with_seed(seed.rotate_left(32) ^ number as u64), number };
        let named = Named { what, seed, number };
        run(&mut mutator);
        drop(named);
        slowest = slowest.max((begun.elapsed(), number));
    }
    drop(watch);
    let grown_kb = most_memory_kb().saturating_sub(memory_before);
    let (slowest_ms, number) = (slowest.0.as_millis(), slowest.1);
    let inputs = count * batch;
    println!(
        "{what}: {inputs} inputs of seed {seed}, {grown_kb} KiB more, slowest {slowest_ms} ms ({number})"
    );
    assert!(grown_kb <= MOST_MEMORY_KB, "{what}: {grown_kb} KiB");
}

/// The most memory that this process has had resident; 0 where that cannot be asked.
fn most_memory_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    most.and_then(|most| most.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0)
}

/// Names the case in which a test panics.
struct Named<'a> {
    what: &'a str,
    seed: u64,
    number: usize,
}

impl Drop for Named<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}: case {} of seed {}", self.what, self.number, self.seed);
        }
    }
}

/// Says which case does not end.
struct Watch {
    case: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
}

impl Watch {
    fn begin(longest: Duration, on_hang: impl Fn(usize) + Send + 'static) -> Self {
        let watch = Self { case: Arc::default(), is_over: Arc::default() };
        let (case, is_over) = (Arc::clone(&watch.case), Arc::clone(&watch.is_over));
        std::thread::spawn(move || {
            let mut seen = (0, Instant::now());
            while !is_over.load(Ordering::Relaxed) {
                std::thread::sleep(longest / 100);
                let now = case.load(Ordering::Relaxed);
                if now != seen.0 {
                    seen = (now, Instant::now());
                } else if seen.1.elapsed() > longest {
                    return on_hang(now);
                }
            }
        });
        watch
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// Makes the input of one case.
#[derive(Debug)]
pub struct Mutator {
    /// For what else a case decides.
    pub random: Rng,
    /// Of the case, from 0.
    pub number: usize,
}

impl Mutator {
    /// The bytes with some changes.
    pub fn bytes(&mut self, original: &[u8]) -> Vec<u8> {
        let mut bytes = original.to_vec();
        for _ in 0..self.random.usize(1..=MOST_CHANGES) {
            self.change(&mut bytes);
        }
        bytes
    }

    /// The text with some changes; `words` are those of its format. It need not be UTF-8 any more.
    pub fn text(&mut self, original: &[u8], words: &[&str]) -> Vec<u8> {
        let mut text = original.to_vec();
        for _ in 0..self.random.usize(1..=MOST_CHANGES) {
            match self.random.u8(..8) {
                0 | 1 => self.replace_number(&mut text),
                2 => self.change_lines(&mut text),
                3 if !words.is_empty() => self.insert_one_of(&mut text, words),
                3 | 4 => self.insert_one_of(&mut text, &PIECES),
                5 => self.insert_one_of(&mut text, &NUMBERS),
                6 => self.remove_word(&mut text),
                _ => self.change(&mut text),
            }
        }
        text
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let Some(at) = self.position(bytes) else { return };
        let range = self.range(at, bytes.len());
        match self.random.u8(..9) {
            0 | 1 => bytes[at] ^= 1 << self.random.u8(..8),
            2 => bytes[at] = self.random.u8(..),
            3 => bytes[range].fill(0),
            4 => bytes[range].iter_mut().for_each(|byte| *byte = self.random.u8(..)),
            5 => {
                let to = self.random.usize(..=bytes.len() - range.len());
                bytes.copy_within(range, to);
            }
            6 => {
                let integer = INTEGERS[self.random.usize(..INTEGERS.len())].to_le_bytes();
                let room = integer.len().min(bytes.len() - at);
                bytes[at..at + room].copy_from_slice(&integer[..room]);
            }
            7 => drop(bytes.drain(range)),
            _ if self.random.u8(..4) == 0 => bytes.truncate(at),
            _ => {
                let copy = bytes[range].to_vec();
                bytes.splice(at..at, copy);
            }
        }
    }

    fn position(&mut self, bytes: &[u8]) -> Option<usize> {
        (!bytes.is_empty()).then(|| self.random.usize(..bytes.len()))
    }

    /// Mostly short, as what a parser takes at once is.
    fn range(&mut self, at: usize, len: usize) -> Range<usize> {
        let most = if self.random.u8(..4) == 0 { len } else { 16 };
        at..(at + self.random.usize(1..=most)).min(len)
    }

    fn insert_one_of(&mut self, text: &mut Vec<u8>, pieces: &[&str]) {
        let piece = pieces[self.random.usize(..pieces.len())];
        let at = self.random.usize(..=text.len());
        let times = if self.random.u8(..32) == 0 { 2_000 } else { 1 };
        text.splice(at..at, piece.repeat(times).into_bytes());
    }

    fn replace_number(&mut self, text: &mut Vec<u8>) {
        let Some(word) = self.word(text, u8::is_ascii_digit) else { return };
        let number = NUMBERS[self.random.usize(..NUMBERS.len())];
        text.splice(word, number.bytes());
    }

    fn remove_word(&mut self, text: &mut Vec<u8>) {
        let Some(word) = self.word(text, |byte| !byte.is_ascii_whitespace()) else { return };
        text.drain(word);
    }

    /// A run of such bytes.
    fn word(&mut self, text: &[u8], is_part: impl Fn(&u8) -> bool) -> Option<Range<usize>> {
        let from = self.position(text)?;
        let begin = from + text[from..].iter().position(&is_part)?;
        let end = text[begin..].iter().position(|byte| !is_part(byte)).map_or(text.len(), |n| begin + n);
        Some(begin..end)
    }

    fn change_lines(&mut self, text: &mut Vec<u8>) {
        let mut lines: Vec<Vec<u8>> =
            text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        let Some(at) = (!lines.is_empty()).then(|| self.random.usize(..lines.len())) else { return };
        let other = self.random.usize(..lines.len());
        match self.random.u8(..4) {
            0 => drop(lines.remove(at)),
            1 => lines.insert(other, lines[at].clone()),
            2 => lines.swap(at, other),
            _ => lines.truncate(at),
        }
        *text = lines.concat();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_case_follows_from_its_number() {
        let text = b"cpu  10 20 30\nintr 7\n".repeat(20);
        let make = |number| {
            let mut mutator = Mutator { random: Rng::with_seed(number), number: 0 };
            (mutator.text(&text, &["btime"]), mutator.bytes(&text))
        };
        assert_eq!(make(1), make(1));
        let changed = (0..1000).filter(|number| make(*number).0 != text && make(*number).1 != text).count();
        assert!(changed > 900, "{changed}");
        let _ = Mutator { random: Rng::with_seed(1), number: 0 }.text(b"", &[]);
    }

    #[test]
    fn a_case_that_hangs_is_named() {
        let (sender, hanging) = std::sync::mpsc::channel();
        let watch = Watch::begin(Duration::from_millis(200), move |case| sender.send(case).unwrap());
        for case in 0..5 {
            watch.case.store(case, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(hanging.try_recv().is_err(), "cases that end do not hang");
        watch.case.store(7, Ordering::Relaxed);
        assert_eq!(hanging.recv_timeout(Duration::from_secs(20)), Ok(7));
    }

    #[test]
    fn every_change_is_made() {
        let text = b"cpu  10 20 30\nintr 7\n".repeat(20);
        let all: Vec<Vec<u8>> = (0..1000)
            .map(|number| Mutator { random: Rng::with_seed(number), number: 0 }.text(&text, &["btime"]))
            .collect();
        let some = |is: &dyn Fn(&Vec<u8>) -> bool| all.iter().filter(|text| is(text)).count() > 10;
        assert!(some(&|text| text.windows(5).any(|word| word == b"btime")));
        assert!(some(&|text| text.windows(10).any(|word| word == b"2147483647")));
        assert!(some(&|other| other.len() > 2 * text.len()) && some(&|other| other.len() < text.len() / 2));
        assert!(some(&|text| std::str::from_utf8(text).is_err()));
    }
}
