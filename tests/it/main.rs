//! One binary for all integration tests.

#[cfg(test)]
mod text;
#[cfg(test)]
#[cfg(feature = "test-data")]
mod values;
