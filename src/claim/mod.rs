//! `Claim -> the document's bytes`, from an object store or a folder.
//!
//! Deliberately judges no place: the room `decode` has compared the claim with what the pipeline
//! allows, and here each allowed store is opened once, at the start. What a message says can choose
//! a key in such a store and nothing else: endpoints and credentials are settings, redirects are not
//! followed, and addresses that serve secrets are refused, see [`guard`].
//!
//! What goes wrong is told apart by whose it is. The document's own: it is missing or another one,
//! also after a while, or is refused where its neighbours are not; a [`Reject`]. The world's: a
//! store that is away, slow, or refuses everything; a [`Fault`] to be tried again, since a bucket of
//! good documents must not end as rejects by an expired credential. No error names a key, since
//! files are named after persons.

mod cloud;
mod file;
mod guard;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use self::cloud::Cloud;
use crate::config::claims::Claims;
use crate::config::settings::Secret;
use crate::error::{Fault, FaultClass};
use crate::types::{Claim, Digest, Prefix, Reject, RejectCode, Room, Scheme, Uri};

/// Time between two looks at whether a document is still wanted.
const WANTED_INTERVAL: Duration = Duration::from_millis(200);

/// What the stores of one pipeline are opened with.
pub struct Setup<'a> {
    /// What the pipeline allows.
    pub claims: &'a Claims,
    /// Whether a store on this machine may be asked.
    pub allows_loopback: bool,
    /// Variables that configure stores, by name in lower case.
    pub variables: &'a [(String, Secret)],
}

/// What one try to get a document's bytes gave.
pub enum Got {
    /// The bytes, as claimed.
    Bytes(Vec<u8>),
    /// The document's own fault.
    Refused(Reject),
    /// Not there, or not as claimed, and so perhaps still on its way: to be tried again soon.
    Unsettled,
    /// Nobody wanted it any more.
    Unwanted,
}

/// What earlier tries at one claim have met.
#[derive(Clone, Copy, Default)]
pub struct Trial {
    /// When it was first refused or not as claimed.
    first_refused: Option<Instant>,
}

/// Why a store that gives out nothing may do so.
const DENIED: &str = "the store denies access; check the worker's credentials and their rights";

/// What was met instead of the document.
enum Trouble {
    /// No document lies there.
    Missing,
    /// A document of another size: so many bytes, or more where it was not read to its end.
    Size(u64),
    /// The store refuses this document, or all; why, should it be all.
    Denied(String),
    /// The path leaves the allowed folder, by a link, or names no file.
    Outside,
    /// The store could not be asked, or answered what cannot be the document's fault.
    Away(Fault),
}

/// One place that the pipeline allows.
struct Place {
    prefix: Prefix,
    /// When a document was last fetched from it.
    served: Mutex<Option<Instant>>,
}

/// The stores that one pipeline may fetch from.
pub struct Stores {
    places: Vec<Place>,
    clouds: BTreeMap<(Scheme, String), Arc<Cloud>>,
    settle_timeout: Duration,
    total_timeout: Duration,
    driver: Option<Driver>,
}

impl Stores {
    /// Opens each store that `setup` allows; none is asked yet.
    ///
    /// # Errors
    /// Fatal, where the settings of a store do not fit together or its endpoint is forbidden.
    pub fn open(setup: &Setup<'_>) -> Result<Self, Fault> {
        let mut clouds = BTreeMap::new();
        let place = |prefix| Place { prefix, served: Mutex::new(None) };
        let places: Vec<Place> = setup.claims.prefixes().map(place).collect();
        for place in &places {
            let uri = place.prefix.uri();
            let name = (uri.scheme(), uri.store().to_owned());
            if uri.scheme() != Scheme::File && !clouds.contains_key(&name) {
                clouds.insert(name, Arc::new(cloud::open(uri, setup)?));
            }
        }
        let driver = if clouds.is_empty() { None } else { Some(Driver::start()?) };
        Ok(Self {
            places,
            clouds,
            settle_timeout: Duration::from_millis(setup.claims.settle_timeout_ms),
            total_timeout: Duration::from_millis(setup.claims.total_timeout_ms),
            driver,
        })
    }

    /// Tries once to get the document of `claim`; blocks until it is there, for as long as the
    /// pipeline's timeouts allow and `is_wanted` says so. Give the same `trial` to each try at one
    /// claim.
    ///
    /// # Errors
    /// `Retry`, where the store could not be asked or gives nothing to anybody.
    pub fn fetch(
        &self,
        claim: &Claim,
        trial: &mut Trial,
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<Got, Fault> {
        let Some(place) = self.places.iter().find(|place| place.prefix.holds(&claim.uri)) else {
            let detail = "the claim's `uri` lies in no place that `input.claims.allow` lists";
            return Ok(Got::Refused(reject(RejectCode::ClaimForbidden, detail)));
        };
        let read = match claim.uri.scheme() {
            Scheme::File => file::read(place.prefix.uri(), claim, is_wanted),
            Scheme::Az | Scheme::Gs | Scheme::S3 => self.download(claim, is_wanted),
        };
        let trouble = match read {
            Ok(None) => return Ok(Got::Unwanted),
            Ok(Some(bytes)) => {
                *place.served.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                if Digest::of(&bytes) == claim.sha256 {
                    return Ok(Got::Bytes(bytes));
                }
                let detail = "the document has the claimed size and another SHA-256";
                return Ok(self.unsettled(trial, reject(RejectCode::ClaimMismatch, detail)));
            }
            Err(trouble) => trouble,
        };
        match trouble {
            Trouble::Missing => {
                let detail = "no document lies where the claim says";
                Ok(self.unsettled(trial, reject(RejectCode::ClaimNotFound, detail)))
            }
            Trouble::Size(bytes) => {
                let claimed = claim.size_bytes;
                let detail =
                    format!("the document has {bytes} bytes or more, and {claimed} are claimed");
                Ok(self.unsettled(trial, reject(RejectCode::ClaimMismatch, detail)))
            }
            Trouble::Denied(why) => self.denied(place, trial, &why),
            Trouble::Outside => {
                let detail = "the claim's path leaves the allowed folder, or names no file";
                Ok(Got::Refused(reject(RejectCode::ClaimForbidden, detail)))
            }
            Trouble::Away(fault) => Err(fault),
        }
    }

    /// What may still be on its way is refused only after the time that the pipeline gives it.
    fn unsettled(&self, trial: &mut Trial, reject: Reject) -> Got {
        let first = *trial.first_refused.get_or_insert_with(Instant::now);
        if first.elapsed() < self.settle_timeout { Got::Unsettled } else { Got::Refused(reject) }
    }

    /// A refusal is the document's own only if the store has served another one of the same place
    /// since; else the worker's credentials are the likelier cause.
    fn denied(&self, place: &Place, trial: &mut Trial, why: &str) -> Result<Got, Fault> {
        let first = *trial.first_refused.get_or_insert_with(Instant::now);
        let served = *place.served.lock().unwrap_or_else(PoisonError::into_inner);
        if first.elapsed() >= self.settle_timeout && served.is_some_and(|served| served > first) {
            let detail = "the store refuses this document, and gives out others of its place";
            return Ok(Got::Refused(reject(RejectCode::ClaimDenied, detail)));
        }
        Err(away(place.prefix.uri(), why))
    }

    fn download(
        &self,
        claim: &Claim,
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<u8>>, Trouble> {
        let name = (claim.uri.scheme(), claim.uri.store().to_owned());
        let (Some(cloud), Some(driver)) = (self.clouds.get(&name), &self.driver) else {
            return Err(Trouble::Outside);
        };
        let (cloud, claim, time) = (Arc::clone(cloud), claim.clone(), self.total_timeout);
        let (sender, answer) = sync_channel(1);
        let store = claim.uri.clone();
        let task = driver.handle.spawn(async move {
            let read = tokio::time::timeout(time, cloud.read(&claim)).await;
            let late = |_| Err(Trouble::Away(away(&claim.uri, "it took too long in all")));
            // A receiver that is gone wants nothing.
            drop(sender.send(read.unwrap_or_else(late)));
        });
        loop {
            match answer.recv_timeout(WANTED_INTERVAL) {
                Ok(read) => return read.map(Some),
                Err(RecvTimeoutError::Timeout) if is_wanted() => {}
                Err(RecvTimeoutError::Timeout) => {
                    task.abort();
                    return Ok(None);
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Trouble::Away(away(&store, "the client of the store panicked")));
                }
            }
        }
    }
}

/// The thread on which the clients of the stores run: their connections belong to one runtime.
struct Driver {
    handle: Handle,
    /// Ends the thread when it is dropped.
    _alive: oneshot::Sender<()>,
}

impl Driver {
    fn start() -> Result<Self, Fault> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| {
            Fault::new(FaultClass::Fatal, "starting the client of the stores", error)
        })?;
        let handle = runtime.handle().clone();
        let (alive, ended) = oneshot::channel();
        // Not joined: a name that does not resolve may keep it for longer than a drain lasts.
        drop(thread::spawn(move || {
            drop(runtime.block_on(ended));
            runtime.shutdown_background();
        }));
        Ok(Self { handle, _alive: alive })
    }
}

/// A fault of the store that holds `uri`; names the store alone.
fn away(uri: &Uri, what: &str) -> Fault {
    let (scheme, store) = (uri.scheme().name(), uri.store());
    let what = format!("fetching a claim from `{scheme}://{store}`: {what}");
    Fault::plain(FaultClass::Retry, what)
}

fn reject(code: RejectCode, detail: impl Into<String>) -> Reject {
    Reject::new(code, Room::Claim, detail)
}
