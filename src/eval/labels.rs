//! `labels of a data set, heads of a model -> which answers which`.
//!
//! A name of the data is answered by the label of the same name, letter case and a closing question
//! mark aside; what all labels of a head begin with, up to an underscore, may stand before it
//! (`maintie_State` answers `State`). Deliberately guesses nothing beyond that.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail, ensure};

use crate::config::heads::{Head, Heads, Placed};

/// Labels of the model, counted through its heads, by the name that the data has for them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Labels(BTreeMap<String, usize>);

/// What a data set asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Spans with labels.
    Spans,
    /// One class a text.
    Classes,
}

impl Labels {
    /// Lets the label `rest` of `placed` answer all `names` that have no answer.
    pub(super) fn with_rest(
        mut self,
        names: &BTreeSet<&str>,
        placed: &Placed<'_>,
        rest: &str,
    ) -> Result<Self> {
        let at = placed.head.label_names().position(|name| name == rest);
        let Some(label) = at.map(|at| placed.labels.start + at) else {
            bail!("the head `{}` has no label `{rest}`", placed.head.name());
        };
        for name in names {
            self.0.entry((*name).to_owned()).or_insert(label);
        }
        Ok(self)
    }

    /// Whether any name is answered by this label of the model.
    pub(super) fn has(&self, label: usize) -> bool {
        self.0.values().any(|known| *known == label)
    }

    /// The label that answers the data's `name`.
    pub(super) fn get(&self, name: &str) -> Option<usize> {
        self.0.get(name).copied()
    }
}

/// The heads that answer `names`, in the order of the model, and their labels: the one that knows
/// the most, and then those of its kind that know what it does not; of `wanted` only, where given.
pub(super) fn choose<'a>(
    heads: &'a Heads,
    names: &BTreeSet<&str>,
    task: Task,
    wanted: &[String],
) -> Result<(Vec<Placed<'a>>, Labels)> {
    for name in wanted {
        ensure!(heads.get(name).is_some(), "the model has no head `{name}`");
    }
    let is_meant = |placed: &Placed<'_>| {
        let fits = match placed.head {
            Head::Multilabel(_) | Head::Entities(_) => task == Task::Spans,
            Head::Classes(_) => task == Task::Classes,
        };
        fits && (wanted.is_empty() || wanted.iter().any(|name| name == placed.head.name()))
    };
    let mut known: Vec<_> = heads
        .iter()
        .filter(is_meant)
        .map(|placed| (answers(&placed, names), placed))
        .filter(|(answers, _)| !answers.is_empty())
        .collect();
    // Order: stable, so that of equals the first head of the model comes first.
    known.sort_by_key(|(answers, _)| std::cmp::Reverse(answers.len()));
    let kind = known.first().map(|(_, placed)| placed.head.kind());
    let mut labels = Labels::default();
    let mut chosen = Vec::new();
    for (answers, placed) in known {
        if Some(placed.head.kind()) != kind {
            continue;
        }
        if answers.keys().any(|name| !labels.0.contains_key(name)) {
            for (name, label) in answers {
                labels.0.entry(name).or_insert(label);
            }
            chosen.push(placed);
        }
    }
    if chosen.is_empty() {
        let kind = match task {
            Task::Spans => "label",
            Task::Classes => "class",
        };
        bail!("the model has no {kind} `{}`", names.first().copied().unwrap_or_default());
    }
    chosen.sort_by_key(|placed| placed.labels.start);
    Ok((chosen, labels))
}

/// The labels of one head by the `names` that they answer.
fn answers(placed: &Placed<'_>, names: &BTreeSet<&str>) -> BTreeMap<String, usize> {
    let prefix = prefix(placed.head);
    let mut labels: BTreeMap<String, usize> = BTreeMap::new();
    for (index, label) in placed.labels.clone().zip(placed.head.label_names()) {
        let bare = label.strip_prefix(prefix).unwrap_or(label);
        for name in [label, bare] {
            labels.entry(plain(name)).or_insert(index);
        }
    }
    let answer = |name: &&str| Some(((*name).to_owned(), *labels.get(&plain(name))?));
    names.iter().filter_map(answer).collect()
}

/// What all labels of a head begin with, up to its last underscore.
fn prefix(head: &Head) -> &str {
    let mut names = head.label_names();
    let mut shared = names.next().unwrap_or_default();
    for name in names {
        let same = shared.char_indices().zip(name.chars());
        let end = same
            .take_while(|((_, one), other)| one == other)
            .last()
            .map_or(0, |((at, one), _)| at + one.len_utf8());
        shared = shared.get(..end).unwrap_or_default();
    }
    let end = shared.rfind('_').map_or(0, |at| at + 1);
    shared.get(..end).unwrap_or_default()
}

fn plain(name: &str) -> String {
    name.trim_end_matches('?').to_lowercase()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::{Task, choose};
    use crate::config::heads::Heads;

    fn heads() -> Heads {
        let entities = |name: &str, labels: &[&str]| {
            let labels: Vec<_> =
                labels.iter().map(|name| json!({"name": name, "threshold": 0.5})).collect();
            json!({"kind": "entities", "name": name, "labels": labels,
                   "calibration": {"bias": 0.0, "weights": [1.0, 0.0, 0.0]}})
        };
        let classes = |name: &str, labels: &[&str]| {
            let labels: Vec<_> = labels.iter().map(|name| json!({"name": name})).collect();
            json!({"kind": "classes", "name": name, "temperature": 1.0, "labels": labels})
        };
        let all = json!([
            entities("entities", &["Item", "Activity", "Age"]),
            entities("maintie", &["maintie_PhysicalObject", "maintie_Activity", "maintie_State"]),
            entities("history", &["History"]),
            classes("intent", &["transfer", "exchange_rate"]),
            classes("bank", &["bank_exchange_rate", "bank_refund_late", "bank_my_rate"]),
        ]);
        Heads::new(serde_json::from_value(all).unwrap()).unwrap()
    }

    /// Names of the chosen heads, and the label for each name of the data.
    fn chosen(names: &[&str], task: Task, wanted: &[&str]) -> Result<String, String> {
        let heads = heads();
        let wanted: Vec<_> = wanted.iter().map(|name| (*name).to_owned()).collect();
        let set: BTreeSet<_> = names.iter().copied().collect();
        let (chosen, labels) =
            choose(&heads, &set, task, &wanted).map_err(|error| error.to_string())?;
        let label = |name: &&str| {
            labels.get(name).and_then(|label| heads.label_names().nth(label)).unwrap_or("-")
        };
        let labels: Vec<_> = names.iter().map(label).collect();
        let heads: Vec<_> = chosen.iter().map(|placed| placed.head.name()).collect();
        Ok(format!("{}: {}", heads.join(" "), labels.join(" ")))
    }

    #[test]
    fn the_head_that_knows_the_most_answers_and_others_fill_up() {
        for (names, task, wanted, expected) in [
            (&["Activity", "Item"][..], Task::Spans, &[][..], "entities: Activity Item"),
            (&["Activity", "State"], Task::Spans, &[], "maintie: maintie_Activity maintie_State"),
            (&["Age", "History", "Sex"], Task::Spans, &[], "entities history: Age History -"),
            (&["Activity"], Task::Spans, &["maintie"], "maintie: maintie_Activity"),
            (&["exchange_rate", "transfer"], Task::Classes, &[], "intent: exchange_rate transfer"),
            (
                &["Refund_late?", "exchange_rate"],
                Task::Classes,
                &[],
                "bank: bank_refund_late bank_exchange_rate",
            ),
        ] {
            assert_eq!(chosen(names, task, wanted).as_deref(), Ok(expected), "{names:?}");
        }
    }

    #[test]
    fn what_nothing_answers_is_said() {
        let told = chosen(&["Age"], Task::Classes, &[]);
        assert_eq!(told, Err("the model has no class `Age`".to_owned()));
        let told = chosen(&["transfer"], Task::Spans, &[]);
        assert_eq!(told, Err("the model has no label `transfer`".to_owned()));
        let told = chosen(&["Age"], Task::Spans, &["ages"]);
        assert_eq!(told, Err("the model has no head `ages`".to_owned()));
    }
}
