//! One binary for all integration tests.

#[cfg(test)]
mod onnx;
#[cfg(test)]
mod text;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod tidy_code;
