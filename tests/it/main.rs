//! One binary for all integration tests.

#[cfg(test)]
mod delivery;

#[cfg(test)]
mod onnx;
#[cfg(all(test, feature = "test-data"))]
mod pdf_corpus;
#[cfg(test)]
mod pdf_maker;
#[cfg(test)]
mod registry;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod servers;
#[cfg(test)]
mod support;
#[cfg(test)]
mod pipelines;
#[cfg(test)]
mod text;
#[cfg(test)]
mod text_child;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod tidy_code;
#[cfg(feature = "test-data")]
mod values;
