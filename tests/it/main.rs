//! One binary for all integration tests.

#[cfg(test)]
mod onnx;
#[cfg(test)]
mod text;
