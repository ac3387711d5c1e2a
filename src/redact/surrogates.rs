//! Names of persons and towns that made-up values are chosen from.
//!
//! The names serve as given and as family names alike, so that a word has one surrogate wherever it
//! stands. Deliberately short lists: many identifiers share a surrogate, which is what makes it
//! tell little; what must be joined is hashed.

/// Names of persons.
pub(super) const NAMES: [&str; 64] = [
    "Addison", "Alden", "Ames", "Arden", "Ashby", "Avery", "Bailey", "Barlow", "Blair", "Blythe",
    "Bowen", "Brooke", "Cameron", "Carey", "Carson", "Casey", "Darcy", "Dale", "Davin", "Drew",
    "Easton", "Ellery", "Ellis", "Emery", "Finley", "Flynn", "Gale", "Garnet", "Grady", "Greer",
    "Harlow", "Hollis", "Ives", "Jarvis", "Jordan", "Keaton", "Kelsey", "Kendall", "Lacey",
    "Lennon", "Linden", "Logan", "Marlow", "Merrill", "Monroe", "Morgan", "Nolan", "Oakley",
    "Palmer", "Parker", "Presley", "Quinn", "Reagan", "Reese", "Rowan", "Sawyer", "Shelby",
    "Sidney", "Sloan", "Tatum", "Taylor", "Tracey", "Vaughn", "Wesley",
];

/// Towns that are made up.
pub(super) const TOWNS: [&str; 32] = [
    "Alderwick",
    "Ashcombe Falls",
    "Barrowdale",
    "Birchhollow",
    "Brackenford",
    "Briarstead",
    "Cedarmoor",
    "Coldbrook Hill",
    "Copperfen",
    "Dunmarrow",
    "Eastmere Bay",
    "Elmstone",
    "Fernhaven",
    "Foxglen",
    "Graywater",
    "Hartsmoor",
    "Hazelbank",
    "Juniper Reach",
    "Kestrel Point",
    "Larkhaven",
    "Mapleton Rise",
    "Millbarrow",
    "Northfen",
    "Oakhollow",
    "Pinecrest Vale",
    "Quarrydale",
    "Ravensmead",
    "Stonewick",
    "Thornbury Lake",
    "Umberley",
    "Westmarrow",
    "Willowgate",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{NAMES, TOWNS};

    #[test]
    fn nothing_stands_twice() {
        assert_eq!(NAMES.iter().collect::<BTreeSet<_>>().len(), NAMES.len());
        assert_eq!(TOWNS.iter().collect::<BTreeSet<_>>().len(), TOWNS.len());
    }
}
