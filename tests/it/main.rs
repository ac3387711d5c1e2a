//! One binary for all integration tests.

#[cfg(test)]
mod onnx;
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
mod text;
#[cfg(test)]
mod text_child;
#[cfg(feature = "test-data")]
mod values;
