//! One binary for all integration tests.

#[cfg(test)]
mod onnx;
#[cfg(test)]
mod pdf_maker;
#[cfg(test)]
mod text;
#[cfg(test)]
mod text_child;
