//! `rows of token ids -> tokens a second` of ONNX Runtime alone, for the benches that compare with it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ort::session::Session;
use ort::value::Tensor;

/// Runs one call, its rows filled up with `pad` to the longest; gives its tokens without padding.
pub fn call(session: &mut Session, rows: &[&[i64]], pad: i64) -> usize {
    let longest = rows.iter().map(|row| row.len()).max().unwrap();
    let (mut ids, mut mask) = (Vec::new(), Vec::new());
    for row in rows {
        let padding = longest - row.len();
        ids.extend(row.iter().copied().chain(std::iter::repeat_n(pad, padding)));
        mask.extend(std::iter::repeat_n(1_i64, row.len()).chain(std::iter::repeat_n(0, padding)));
    }
    let shape = [rows.len(), longest];
    let ids = Tensor::from_array((shape, ids)).unwrap();
    let mask = Tensor::from_array((shape, mask)).unwrap();
    let outputs =
        session.run(ort::inputs! { "input_ids" => ids, "attention_mask" => mask }).unwrap();
    assert!(outputs.len() > 0, "the model answers");
    rows.iter().map(|row| row.len()).sum()
}

/// Tokens a second of all sessions side by side for that long: `next` makes the call of a number, from 0 on, and gives its
/// tokens.
pub fn speed(
    sessions: &mut [Session],
    time: Duration,
    next: impl Fn(&mut Session, usize) -> usize + Sync,
) -> f64 {
    let number = AtomicUsize::new(0);
    let begun = Instant::now();
    let tokens: usize = thread::scope(|scope| {
        let threads: Vec<_> = sessions
            .iter_mut()
            .map(|session| {
                scope.spawn(|| {
                    let mut tokens = 0;
                    while begun.elapsed() < time {
                        tokens += next(session, number.fetch_add(1, Ordering::Relaxed));
                    }
                    tokens
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    tokens as f64 / begun.elapsed().as_secs_f64()
}
