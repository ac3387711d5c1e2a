//! `--from, --to, --since, --until -> offsets of each partition`.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Result;
use clap::Args;
use jiff::Timestamp;

use super::topics::Topics;
use crate::config::settings::SettingsError;

/// An offset of a partition, written `PARTITION:OFFSET`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Partition, from 0.
    pub partition: i32,
    /// Offset, from 0.
    pub offset: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.partition, self.offset)
    }
}

fn place(text: &str) -> Result<Place, String> {
    let place = || {
        let (partition, offset) = text.split_once(':')?;
        let place = Place { partition: partition.parse().ok()?, offset: offset.parse().ok()? };
        (place.partition >= 0 && place.offset >= 0).then_some(place)
    };
    place().ok_or_else(|| "write it as PARTITION:OFFSET, such as 0:1200".to_owned())
}

/// Which messages of the input topic.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Range")]
pub struct RangeArgs {
    /// First offset of a partition; several by commas. Where partitions are named, the others are
    /// left out
    #[arg(long, value_name = "PARTITION:OFFSET,..", value_parser = place, value_delimiter = ',')]
    pub from: Vec<Place>,
    /// Offset at which a partition ends, itself left out; several by commas
    #[arg(long, value_name = "PARTITION:OFFSET,..", value_parser = place, value_delimiter = ',')]
    pub to: Vec<Place>,
    /// Messages sent at this time or later, such as 2026-11-27T10:00:00Z
    #[arg(long, value_name = "TIME", conflicts_with = "from")]
    pub since: Option<Timestamp>,
    /// Messages sent before this time
    #[arg(long, value_name = "TIME", conflicts_with = "to")]
    pub until: Option<Timestamp>,
}

/// The same for the same range, in whatever order its partitions were named.
impl fmt::Display for RangeArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, places) in [("from", &self.from), ("to", &self.to)] {
            let mut places = places.clone();
            places.sort_unstable();
            places.iter().try_for_each(|place| write!(f, "{name} {place} "))?;
        }
        for (name, time) in [("since", self.since), ("until", self.until)] {
            time.iter().try_for_each(|time| write!(f, "{name} {time} "))?;
        }
        Ok(())
    }
}

/// A name that may stand behind the name of a topic.
pub fn output_name(text: &str) -> Result<String, String> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if text.is_empty() || text.len() > 64 || !text.bytes().all(is_name) {
        return Err("1 to 64 letters, digits, dots, underscores and hyphens".to_owned());
    }
    Ok(text.to_owned())
}

/// Offsets of one partition that are asked for; `None` where nothing was said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// First offset.
    pub from: Option<i64>,
    /// One past the last offset.
    pub to: Option<i64>,
}

impl RangeArgs {
    /// Whether any of it was given.
    pub const fn is_given(&self) -> bool {
        !self.from.is_empty() || !self.to.is_empty() || self.since.is_some() || self.until.is_some()
    }

    /// What is asked of each partition of `topic`; those that are not asked for are left out.
    pub fn asked(&self, topics: &Topics, topic: &str) -> Result<BTreeMap<i32, Asked>> {
        let known = topics.some_partitions(topic)?;
        for (flag, places) in [("--from", &self.from), ("--to", &self.to)] {
            if let Some(wrong) = places.iter().find(|place| !known.contains(&place.partition)) {
                let count = known.len();
                let problem = format!("`{wrong}`: `{topic}` has the partitions 0 to {}", count - 1);
                return Err(SettingsError { setting: flag.to_owned(), problem }.into());
            }
        }
        let time = |time: Option<Timestamp>| match time {
            None => Ok(BTreeMap::new()),
            Some(time) => topics.at(topic, time),
        };
        let (since, until) = (time(self.since)?, time(self.until)?);
        let of = |places: &[Place], partition| {
            let found = places.iter().rev().find(|place| place.partition == partition);
            found.map(|place| place.offset)
        };
        let names_some = !self.from.is_empty() || !self.to.is_empty();
        let mut all = BTreeMap::new();
        for partition in known {
            let named = Asked { from: of(&self.from, partition), to: of(&self.to, partition) };
            if names_some && named == Asked::default() {
                continue;
            }
            let from = named.from.or_else(|| since.get(&partition).copied());
            let to = named.to.or_else(|| until.get(&partition).copied());
            all.insert(partition, Asked { from, to });
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, place};

    #[test]
    fn a_place_is_two_numbers() {
        assert_eq!(place("3:17"), Ok(Place { partition: 3, offset: 17 }));
        for bad in ["", "3", "3:", ":17", "-1:2", "1:-2", "a:b", "1:2:3"] {
            assert!(place(bad).is_err(), "{bad}");
        }
    }
}
