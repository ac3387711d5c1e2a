//! `this processor -> its instruction class`.
//!
//! Deliberately coarse: it tells kernels apart that may give other bits, not processors.

/// The instruction class of this processor, such as `x86_64-avx512-vnni`: ONNX Runtime picks its
/// kernels by it, so that scores are bit for bit the same within a class only.
pub fn cpu_class() -> String {
    format!("{}-{}", std::env::consts::ARCH, kernel_class())
}

#[cfg(target_arch = "x86_64")]
fn kernel_class() -> &'static str {
    // In the order in which MLAS prefers its kernels. AMX is not told apart: it changes only int8
    // products, and those are exact in whatever order they are summed.
    let classes = [
        (is_x86_feature_detected!("avx512vnni"), "avx512-vnni"),
        (is_x86_feature_detected!("avx512f"), "avx512"),
        (is_x86_feature_detected!("avxvnni"), "avx2-vnni"),
        (is_x86_feature_detected!("avx2"), "avx2"),
    ];
    classes.into_iter().find(|(is_there, _)| *is_there).map_or("sse2", |(_, class)| class)
}

#[cfg(target_arch = "aarch64")]
fn kernel_class() -> &'static str {
    let classes = [
        (std::arch::is_aarch64_feature_detected!("i8mm"), "i8mm"),
        (std::arch::is_aarch64_feature_detected!("dotprod"), "dotprod"),
    ];
    classes.into_iter().find(|(is_there, _)| *is_there).map_or("neon", |(_, class)| class)
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const fn kernel_class() -> &'static str {
    "generic"
}

#[cfg(test)]
mod tests {
    use super::cpu_class;

    #[test]
    fn the_class_starts_with_the_architecture() {
        let class = cpu_class();
        let kernels = class.strip_prefix(std::env::consts::ARCH);
        assert!(kernels.is_some_and(|kernels| kernels.len() > 1), "{class}");
    }
}
