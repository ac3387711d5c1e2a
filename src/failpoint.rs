//! `SLUICE_FAILPOINTS -> a death, a pause or a failure at a named point`, for the tests of delivery.
//!
//! Compiled in by the feature `failpoints` only; without it every point is passed without a look.
//! Deliberately no stage of its own: a point stands where a crash or an error of the world would
//! be met anyway.

use std::time::Duration;

/// Where a fault can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// A delivery was opened in the ledger, and nothing has been done with it.
    Polled,
    /// A commit was cut, and no transaction is open yet.
    Cut,
    /// All outcomes of a commit are acknowledged, and no offset is in the transaction.
    Sent,
    /// The offsets are in the transaction too, and it is not committed.
    OffsetsSent,
    /// The transaction is committed, and the ledger does not know it yet.
    Committed,
    /// A window is about to be run by the model.
    Inferred,
    /// A blank window is about to be run by the model, to learn whose fault a failure was.
    Controlled,
    /// A text child is about to be started.
    Started,
    /// A document is about to be given to a text child.
    Given,
}

impl Point {
    /// Every point.
    pub const ALL: [Self; 9] = [
        Self::Polled,
        Self::Cut,
        Self::Sent,
        Self::OffsetsSent,
        Self::Committed,
        Self::Inferred,
        Self::Controlled,
        Self::Started,
        Self::Given,
    ];

    /// Name in `SLUICE_FAILPOINTS`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Polled => "polled",
            Self::Cut => "cut",
            Self::Sent => "sent",
            Self::OffsetsSent => "offsets-sent",
            Self::Committed => "committed",
            Self::Inferred => "inferred",
            Self::Controlled => "controlled",
            Self::Started => "started",
            Self::Given => "given",
        }
    }
}

/// What happens at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The process dies as by SIGKILL.
    Kill,
    /// The caller is told to fail.
    Fail,
    /// The caller is told to fail where what it works on is larger than this, in its own unit.
    FailAbove(u64),
    /// The thread waits.
    Wait(Duration),
}

/// One planted fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plant {
    /// Where.
    pub point: Point,
    /// What.
    pub action: Action,
    /// The passages that meet it, counted from 1: first and last.
    pub passages: (u64, u64),
}

/// What is wrong with a description of faults.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{0}` is no fault; write POINT=ACTION or POINT=ACTION@FIRST-LAST, with kill, fail, \
     fail-above:SIZE or wait:MS"
)]
pub struct Unreadable(String);

/// Reads `POINT=ACTION[@FIRST[-LAST]]`, separated by commas: `sent=kill@3`, `inferred=fail@1-4`,
/// `cut=wait:500`. Without passages every one of them is met.
pub fn parse(text: &str) -> Result<Vec<Plant>, Unreadable> {
    text.split(',').map(str::trim).filter(|one| !one.is_empty()).map(plant).collect()
}

fn plant(text: &str) -> Result<Plant, Unreadable> {
    let read = || {
        let (point, rest) = text.split_once('=')?;
        let point = Point::ALL.into_iter().find(|known| known.name() == point)?;
        let (action, passages) = rest.split_once('@').unwrap_or((rest, ""));
        let action = match action.split_once(':') {
            None if action == "kill" => Action::Kill,
            None if action == "fail" => Action::Fail,
            Some(("wait", time_ms)) => Action::Wait(Duration::from_millis(time_ms.parse().ok()?)),
            Some(("fail-above", size)) => Action::FailAbove(size.parse().ok()?),
            _ => return None,
        };
        let passages = match passages.split_once('-') {
            _ if passages.is_empty() => (1, u64::MAX),
            None => (passages.parse().ok()?, passages.parse().ok()?),
            Some((first, last)) => (first.parse().ok()?, last.parse().ok()?),
        };
        Some(Plant { point, action, passages })
    };
    read().ok_or_else(|| Unreadable(text.to_owned()))
}

#[cfg(not(feature = "failpoints"))]
mod planted {
    use super::{Plant, Point};

    /// Does nothing: the program was built without the feature `failpoints`.
    pub const fn arm(_: &[Plant]) {}

    /// Passes `point`; never told to fail.
    #[inline]
    pub const fn pass(_: Point) -> bool {
        false
    }

    /// Likewise, with something of a size.
    #[inline]
    pub const fn pass_with(_: Point, _: usize) -> bool {
        false
    }
    /// Does nothing.
    #[inline]
    pub const fn burst(_: &str) {}
}

#[cfg(feature = "failpoints")]
mod planted {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{Action, Plant, Point};

    static PLANTED: OnceLock<Vec<(Plant, AtomicU64)>> = OnceLock::new();

    /// Plants the faults of this process; the first call counts.
    pub fn arm(plants: &[Plant]) {
        PLANTED.get_or_init(|| plants.iter().map(|plant| (*plant, AtomicU64::new(0))).collect());
    }

    /// Passes `point`: the process may die here, and the thread may wait. True where the caller is
    /// to fail.
    pub fn pass(point: Point) -> bool {
        pass_with(point, 0)
    }

    /// Likewise, with something of that size.
    pub fn pass_with(point: Point, size: usize) -> bool {
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        let mut is_told_to_fail = false;
        for (plant, passages) in PLANTED.get().into_iter().flatten() {
            if plant.point != point {
                continue;
            }
            let passage = passages.fetch_add(1, Ordering::Relaxed) + 1;
            let is_small = matches!(plant.action, Action::FailAbove(most) if size <= most);
            if is_small || !(plant.passages.0..=plant.passages.1).contains(&passage) {
                continue;
            }
            // Tests read this line to know that their fault was met.
            tracing::warn!(point = point.name(), passage, action = ?plant.action, "a planted fault");
            match plant.action {
                Action::Kill => {
                    let process = rustix::process::getpid();
                    rustix::process::kill_process(process, rustix::process::Signal::KILL).ok();
                }
                Action::Fail | Action::FailAbove(_) => is_told_to_fail = true,
                Action::Wait(time) => std::thread::sleep(time),
            }
        }
        is_told_to_fail
    }

    /// Where the text itself asks for it, panics with `text` in the message, as a slice out of
    /// bounds would.
    ///
    /// # Panics
    /// That is what it is for.
    pub fn burst(text: &str) {
        assert!(!text.contains("sluice-burst"), "a planted panic quotes: {text}");
    }
}

pub use planted::{arm, burst, pass, pass_with};

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Action, Plant, Point, parse};

    #[test]
    fn faults_are_read_with_their_passages() {
        let plant = |point, action, passages| Plant { point, action, passages };
        let read =
            parse("sent=kill@3, inferred=fail@1-4,cut=wait:500,given=fail-above:9,").unwrap();
        assert_eq!(
            read,
            [
                plant(Point::Sent, Action::Kill, (3, 3)),
                plant(Point::Inferred, Action::Fail, (1, 4)),
                plant(Point::Cut, Action::Wait(Duration::from_millis(500)), (1, u64::MAX)),
                plant(Point::Given, Action::FailAbove(9), (1, u64::MAX)),
            ]
        );
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_fault_is_refused() {
        for bad in ["sent", "sent=explode", "nowhere=kill", "sent=kill@x", "cut=wait:", "cut=wait"]
        {
            let error = parse(bad).unwrap_err().to_string();
            assert!(error.contains(bad), "{error}");
        }
    }

    #[test]
    fn every_point_has_a_name_of_its_own() {
        for point in Point::ALL {
            let read = parse(&format!("{}=kill", point.name())).unwrap();
            assert_eq!(read.first().map(|plant| plant.point), Some(point));
        }
    }
}
