//! LATENCY GRAPH: an event's history as characters, drawn as Redis draws it.

use crate::args::Args;
use crate::context::Session;
use crate::error::CommandError;
use crate::figures::LatencyEvent;
use crate::reply::Reply;
use crate::spec::{Arg, Command, Group, Run};

/// The declaration.
pub static SPEC: Command = Command {
    name: "GRAPH",
    group: Group::Server,
    summary: "An event's history as a picture of characters, with how long ago each was below it.",
    arity: 3,
    args: &[Arg::string("event")],
    flags: &["admin", "noscript", "loading", "stale"],
    reply: "text",
    examples: &[("LATENCY GRAPH command", "command - high 500 ms, low 101 ms (all time high 500 ms) ...")],
    run: Run::Session(graph),
    ..Command::BLANK
};

/// Samples in one picture; the others follow below.
const COLUMNS: usize = 80;
const ROWS: u64 = 4;
/// How high a sample stands within its row.
const STEPS: [char; 3] = ['_', 'o', '#'];

fn graph(args: &Args, session: &mut dyn Session) -> Result<Reply, CommandError> {
    let wanted = args.bytes(2);
    let event = session.latency_events().into_iter().find(|event| event.name.as_bytes() == &wanted[..]);
    let event = event.ok_or_else(|| {
        CommandError::err(format!("No samples available for event '{}'", String::from_utf8_lossy(wanted)))
    })?;
    Ok(Reply::Verbatim(draw(&event, session.unix_time().as_secs())))
}

fn draw(event: &LatencyEvent, now_s: u64) -> String {
    let times = || event.samples.iter().map(|sample| sample.took_ms);
    let (low, high) = (times().min().unwrap_or(0), times().max().unwrap_or(0));
    let mut out = format!("{} - high {high} ms, low {low} ms (all time high {} ms)\n", event.name, event.max_ms);
    out.push_str(&"-".repeat(COLUMNS));
    out.push('\n');
    for (picture, samples) in event.samples.chunks(COLUMNS).enumerate() {
        if picture > 0 {
            out.push('\n');
        }
        let (per_row, span) = (STEPS.len() as u64, (high - low).max(1));
        let steps = per_row * ROWS;
        for row in (0..ROWS).rev() {
            for sample in samples {
                let step = ((sample.took_ms - low) * steps / span).min(steps - 1);
                let within = usize::try_from(step.saturating_sub(row * per_row)).unwrap_or(usize::MAX);
                out.push(if step < row * per_row { ' ' } else { *STEPS.get(within).unwrap_or(&'|') });
            }
            out.push('\n');
        }
        let labels: Vec<String> = samples.iter().map(|sample| ago(now_s.saturating_sub(sample.unix_s))).collect();
        out.push_str(&" ".repeat(samples.len()));
        out.push('\n');
        for line in 0..labels.iter().map(String::len).max().unwrap_or(0) {
            out.extend(labels.iter().map(|label| label.chars().nth(line).unwrap_or(' ')));
            out.push('\n');
        }
    }
    out
}

fn ago(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Sample;

    #[test]
    fn samples_are_drawn_as_redis_draws_them() {
        let sample = |(ago, took_ms): (u64, u64)| Sample { unix_s: 10_000 - ago, took_ms };
        let samples = [(120, 10), (75, 30), (5, 20), (1, 110)].map(sample).to_vec();
        let drawn = draw(&LatencyEvent { name: "command", max_ms: 400, samples }, 10_000);
        let dashes = "-".repeat(80);
        let expected = format!(
            "command - high 110 ms, low 10 ms (all time high 400 ms)\n{dashes}\n   #\n   |\n   |\n_#o|\n    \n2151\nmmss\n"
        );
        assert_eq!(drawn, expected);
    }
}
