//! Compares stored forms of a document by what whole commands have to do with one: SET, GET, FIND, UPDATE.
//!
//! Owns the documents, the clock and the table. The forms are in [`forms`]. Does not measure sockets, the log or the
//! engine: those cost the same whatever a document looks like on disk.
//!
//! `cargo run --release -p veddb-bench-codec`

mod documents;
mod forms;

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use forms::{Bson, Form, JsonText, Packed, Seal};

/// How many different documents of one size are gone through, so that no run is about one document's branches.
const VARIANTS: usize = 64;
const RUNS: usize = 7;
const RUN_MIN: Duration = Duration::from_millis(60);

fn main() -> Result<()> {
    let seal = Seal::new()?;
    let forms: [&dyn Form; 3] = [&Packed::new()?, &JsonText::new()?, &Bson::new()?];
    for bytes in [350, 2_000, 20_000] {
        let texts: Vec<Vec<u8>> = (0..VARIANTS).map(|seed| documents::document(seed, bytes)).collect();
        let average = texts.iter().map(Vec::len).sum::<usize>() / VARIANTS;
        println!("\ndocuments of {average} bytes of JSON; microseconds for one");
        println!(
            "{:<10} {:>7} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
            "form", "bytes", "SET", "GET", "cached", "FIND =", "FIND re", "UPDATE"
        );
        for form in forms {
            measure(form, &seal, &texts)?;
        }
        let plain = texts.iter().map(Vec::as_slice).collect::<Vec<_>>();
        let sealed: Vec<_> = plain.iter().map(|text| seal.seal(text)).collect();
        let seals = median_us(|at| seal.seal(plain[at]).len());
        let opens = median_us(|at| seal.open(&sealed[at]).len());
        println!("{:<10} {average:>7}   seal {seals:.2}, open {opens:.2}", "(cipher)");
    }
    Ok(())
}

/// Prints one form's line; refuses a form that does not give back what it was given.
fn measure(form: &dyn Form, seal: &Seal, texts: &[Vec<u8>]) -> Result<()> {
    let stored: Vec<Vec<u8>> = texts.iter().map(|text| form.encode(text)).collect();
    let sealed: Vec<Vec<u8>> = stored.iter().map(|body| seal.seal(body)).collect();
    for (text, body) in texts.iter().zip(&stored) {
        let rendered = form.render(body);
        ensure!(rendered == *text, "{}: {}", form.name(), String::from_utf8_lossy(&rendered));
    }
    let found = |hit: fn(&dyn Form, &[u8]) -> bool| stored.iter().filter(|body| hit(form, body)).count();
    let (equal, matching) = (found(|form, body| form.equals(body)), found(|form, body| form.matches(body)));
    ensure!(equal == documents::EQUAL && matching == documents::MATCHING, "{}: {equal} {matching}", form.name());
    let set = median_us(|at| seal.seal(&form.encode(&texts[at])).len());
    let get = median_us(|at| form.render(&seal.open(&sealed[at])).len());
    let cached = median_us(|at| form.render(&stored[at]).len());
    let equals = median_us(|at| usize::from(form.equals(&seal.open(&sealed[at]))));
    let matches = median_us(|at| usize::from(form.matches(&seal.open(&sealed[at]))));
    let update = median_us(|at| seal.seal(&form.increment(&seal.open(&sealed[at]))).len());
    let bytes = stored.iter().map(Vec::len).sum::<usize>() / stored.len();
    println!(
        "{:<10} {bytes:>7} {set:>8.2} {get:>8.2} {cached:>8.2} {equals:>8.2} {matches:>8.2} {update:>8.2}",
        form.name()
    );
    Ok(())
}

/// Microseconds of one call, the median of some runs.
fn median_us(mut work: impl FnMut(usize) -> usize) -> f64 {
    let mut runs: Vec<f64> = (0..RUNS)
        .map(|_| {
            let (begin, mut calls) = (Instant::now(), 0_u32);
            while begin.elapsed() < RUN_MIN {
                for at in 0..VARIANTS {
                    black_box(work(black_box(at)));
                }
                calls += VARIANTS as u32;
            }
            begin.elapsed().as_secs_f64() * 1e6 / f64::from(calls)
        })
        .collect();
    runs.sort_by(f64::total_cmp);
    runs[RUNS / 2]
}
