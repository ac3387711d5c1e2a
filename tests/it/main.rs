//! The integration tests, in one binary so that they share one broker and one registry.

#[cfg(test)]
mod servers;
#[cfg(test)]
mod support;
