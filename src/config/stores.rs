//! `flags, environment -> Stores`: how the stores are reached that claims name.
//!
//! Endpoints and credentials come from the variables that the stores' own tools read, `AWS_*`,
//! `GOOGLE_*` and `AZURE_*`, and never from a message. Deliberately judges none of them: the room
//! `claim` takes those that it knows.

use clap::Args;

use super::settings::Secret;

/// Starts of the variables that object stores are configured by.
const PREFIXES: [&str; 3] = ["AWS_", "AZURE_", "GOOGLE_"];

/// The stores that claims name.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Claims")]
pub struct Stores {
    /// Let claims be fetched from a store on this machine; link-local and metadata addresses are
    /// never taken. Endpoints and credentials: `AWS_*`, `GOOGLE_*` and `AZURE_*` variables, such as
    /// `AWS_ENDPOINT_URL` and, for plain HTTP, `AWS_ALLOW_HTTP=true`
    #[arg(long = "claim-loopback", env = "SLUICE_CLAIM_LOOPBACK")]
    pub allows_loopback: bool,
}

impl Stores {
    /// The variables of the environment that configure stores, by name in lower case; those that
    /// are no UTF-8 are left out.
    pub fn variables(&self) -> Vec<(String, Secret)> {
        let known = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            let is_ours = PREFIXES.iter().any(|prefix| name.starts_with(prefix));
            let value = value.into_string().ok().filter(|_| is_ours)?;
            Some((name.to_ascii_lowercase(), Secret::new(value)))
        });
        let mut known: Vec<_> = known.collect();
        known.sort_by(|one, other| one.0.cmp(&other.0));
        known
    }
}
