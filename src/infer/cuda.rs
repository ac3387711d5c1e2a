//! `places of a machine -> what the CUDA execution provider lacks there`.
//!
//! ONNX Runtime's own words for a missing library name the first one only, and some builds of it
//! go on with the processor. Deliberately loads nothing and starts no process: it looks for files
//! by their names, and what it cannot see (a card that fails, a driver that another container
//! holds) is told by ONNX Runtime when the session is opened.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use crate::config::settings::loader_folders;
use crate::error::{Fault, FaultClass};

/// Libraries beside that of ONNX Runtime, in the package `onnxruntime-gpu`.
const PROVIDER: [&str; 2] =
    ["libonnxruntime_providers_shared.so", "libonnxruntime_providers_cuda.so"];
/// The driver's library.
const DRIVER: &str = "libcuda.so.1";
/// Limit: the oldest driver that CUDA 13 runs on, the branch of its first release.
const DRIVER_MAJOR_MIN: u32 = 580;
/// What the provider of ONNX Runtime 1.31 is linked to of CUDA (`readelf -d`), without the number
/// at the end; other parts of CUDA it opens for operators that no model here has.
const CUDA: [(&str, u32); 4] =
    [("libcudart.so", 13), ("libcublas.so", 13), ("libcublasLt.so", 13), ("libcurand.so", 10)];
/// And of cuDNN, which it opens for every session.
const CUDNN: [(&str, u32); 1] = [("libcudnn.so", 9)];

/// Where to look.
pub(super) struct Places {
    /// The shared library of ONNX Runtime.
    library: PathBuf,
    /// Folders in which the loader looks.
    folders: Vec<PathBuf>,
    /// Device files.
    devices: PathBuf,
}

impl Places {
    /// Those of this machine.
    pub(super) fn of_system(library: &Path) -> Self {
        Self { library: library.to_owned(), folders: loader_folders(), devices: "/dev".into() }
    }

    /// The file of that name where the loader finds it first.
    fn find(&self, name: &str) -> Option<PathBuf> {
        self.folders().map(|folder| folder.join(name)).find(|path| path.is_file())
    }

    /// The folder of ONNX Runtime's libraries comes first: they look beside themselves.
    fn folders(&self) -> impl Iterator<Item = &Path> {
        self.library.parent().into_iter().chain(self.folders.iter().map(PathBuf::as_path))
    }

    /// Numbers at the end of the files that begin with `stem`, in order.
    fn versions(&self, stem: &str) -> Vec<u32> {
        let entries = self.folders().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
        let names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
        let mut versions: Vec<u32> = names
            .filter_map(|name| name.to_str()?.strip_prefix(stem)?.strip_prefix('.')?.parse().ok())
            .collect();
        versions.sort_unstable();
        versions.dedup();
        versions
    }

    /// Whether the kernel shows a card: `nvidia0` and up, or `dxg` under Windows.
    fn has_card(&self) -> bool {
        let entries = std::fs::read_dir(&self.devices).into_iter().flatten();
        let mut names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let is_card = |name: String| {
            let number = name.strip_prefix("nvidia").unwrap_or_default();
            name == "dxg"
                || (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
        };
        names.any(is_card)
    }
}

/// Fatal where something is missing; names all of it.
pub(super) fn check(places: &Places) -> Result<(), Fault> {
    let missing: Vec<String> = [
        driver(places),
        card(places),
        provider(places),
        libraries(places, "CUDA 13", &CUDA),
        libraries(places, "cuDNN 9", &CUDNN),
    ]
    .into_iter()
    .flatten()
    .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let context = format!(
        "starting inference on device `cuda`: {}; add what is missing, or set the device to `cpu`",
        missing.join("; ")
    );
    Err(Fault::plain(FaultClass::Fatal, context))
}

fn driver(places: &Places) -> Option<String> {
    let Some(path) = places.find(DRIVER) else {
        return Some(format!(
            "the driver is missing (`{DRIVER}` is in no folder of the loader; in a container it \
             comes from the NVIDIA container toolkit)"
        ));
    };
    // The link leads to a file with the driver's version, also where a newer one is given to an
    // older kernel module (the package `cuda-compat`). Without a number nothing is said.
    let file = path.canonicalize().ok()?;
    let version = file.file_name()?.to_str()?.strip_prefix("libcuda.so.")?;
    let major: u32 = version.split('.').next()?.parse().ok()?;
    let is_old = version.contains('.') && major < DRIVER_MAJOR_MIN;
    is_old
        .then(|| format!("the driver is {version}, and CUDA 13 needs {DRIVER_MAJOR_MIN} or later"))
}

fn card(places: &Places) -> Option<String> {
    let devices = places.devices.display();
    (!places.has_card())
        .then(|| format!("no card is to be seen (there is no `{devices}/nvidia0` or up)"))
}

fn provider(places: &Places) -> Option<String> {
    let folder = places.library.parent().unwrap_or(Path::new(""));
    let missing: Vec<&str> =
        PROVIDER.into_iter().filter(|name| !folder.join(name).is_file()).collect();
    (!missing.is_empty()).then(|| {
        format!(
            "the CUDA execution provider is missing ({} beside `{}`; take all three from the PyPI \
             package `onnxruntime-gpu`, see `scripts/runtime-cuda.txt`)",
            quoted(missing),
            places.library.display()
        )
    })
}

fn libraries(places: &Places, name: &str, wanted: &[(&str, u32)]) -> Option<String> {
    let lacks =
        |(stem, version): &&(&str, u32)| places.find(&format!("{stem}.{version}")).is_none();
    let missing: Vec<String> = wanted
        .iter()
        .filter(lacks)
        .map(|(stem, version)| match places.versions(stem).as_slice() {
            [] => format!("`{stem}.{version}`"),
            others => {
                let others = others.iter().map(|version| format!("{stem}.{version}"));
                format!("`{stem}.{version}`, only {}", quoted(others))
            }
        })
        .collect();
    (!missing.is_empty()).then(|| {
        format!(
            "{name} is missing ({}); put its folder into `LD_LIBRARY_PATH` if it is there",
            missing.join(", ")
        )
    })
}

fn quoted(names: impl IntoIterator<Item = impl Display>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use tempfile::TempDir;

    use super::{CUDA, CUDNN, DRIVER, PROVIDER, Places, check};

    /// A machine that has everything.
    fn machine() -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for folder in ["lib", "system", "dev"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        let touch = |path: String| fs::write(root.path().join(path), "").unwrap();
        touch("lib/libonnxruntime.so".to_owned());
        for name in PROVIDER {
            touch(format!("lib/{name}"));
        }
        for (stem, version) in CUDA.into_iter().chain(CUDNN) {
            touch(format!("system/{stem}.{version}"));
        }
        touch("dev/nvidia3".to_owned());
        link_driver(root.path(), "580.65.06");
        root
    }

    fn link_driver(root: &Path, version: &str) {
        let (file, link) = (format!("libcuda.so.{version}"), root.join("system").join(DRIVER));
        fs::write(root.join("system").join(&file), "").unwrap();
        fs::remove_file(&link).ok();
        std::os::unix::fs::symlink(file, link).unwrap();
    }

    fn said(root: &TempDir) -> Option<String> {
        let places = Places {
            library: root.path().join("lib/libonnxruntime.so"),
            folders: vec![root.path().join("nowhere"), root.path().join("system")],
            devices: root.path().join("dev"),
        };
        check(&places).err().map(|fault| fault.chain())
    }

    #[test]
    fn a_machine_with_everything_may_start() {
        assert_eq!(said(&machine()), None);
    }

    #[test]
    fn each_thing_that_is_missing_is_named_and_nothing_else() {
        let rows = [
            ("system/libcuda.so.1", "the driver is missing (`libcuda.so.1`"),
            ("dev/nvidia3", "no card is to be seen"),
            ("lib/libonnxruntime_providers_cuda.so", "(`libonnxruntime_providers_cuda.so` beside"),
            ("lib/libonnxruntime_providers_shared.so", "(`libonnxruntime_providers_shared.so` be"),
            ("system/libcudart.so.13", "CUDA 13 is missing (`libcudart.so.13`)"),
            ("system/libcublasLt.so.13", "CUDA 13 is missing (`libcublasLt.so.13`)"),
            ("system/libcudnn.so.9", "cuDNN 9 is missing (`libcudnn.so.9`)"),
        ];
        for (file, expected) in rows {
            let root = machine();
            fs::remove_file(root.path().join(file)).unwrap();
            let message = said(&root).unwrap();
            assert!(message.contains("device `cuda`") && message.contains(expected), "{message}");
            assert_eq!(
                message.matches("missing (").count() + message.matches("no card").count(),
                1
            );
        }
    }

    #[test]
    fn a_version_that_does_not_fit_is_told_beside_the_one_that_would() {
        let root = machine();
        let system = root.path().join("system");
        fs::rename(system.join("libcudnn.so.9"), system.join("libcudnn.so.8")).unwrap();
        let message = said(&root).unwrap();
        assert!(message.contains("(`libcudnn.so.9`, only `libcudnn.so.8`)"), "{message}");
        let root = machine();
        link_driver(root.path(), "535.104.05");
        let message = said(&root).unwrap();
        assert!(message.contains("the driver is 535.104.05, and CUDA 13 needs 580"), "{message}");
    }

    #[test]
    fn a_bare_machine_lacks_all_of_it_at_once() {
        let root = tempfile::tempdir().unwrap();
        let message = said(&root).unwrap();
        for part in ["driver", "card", "provider", "CUDA 13", "cuDNN 9"] {
            assert!(message.contains(part), "{part}: {message}");
        }
    }
}
