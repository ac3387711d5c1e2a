//! `flag, place of the executable -> path of a shared library`.
//!
//! Deliberately never asks the system's loader for these: which library runs must be plain to see,
//! since a record names its version. What they need in turn the loader finds by itself, and
//! [`loader_folders`] tells where it looks, so that what is missing can be named.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::path::{Path, PathBuf};

use super::settings::SettingsError;

/// A library that is loaded at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Library {
    OnnxRuntime,
    Pdfium,
}

impl Library {
    const fn stem(self) -> &'static str {
        match self {
            Self::OnnxRuntime => "onnxruntime",
            Self::Pdfium => "pdfium",
        }
    }

    const fn setting(self) -> &'static str {
        match self {
            Self::OnnxRuntime => "--onnxruntime (ORT_DYLIB_PATH)",
            Self::Pdfium => "--pdfium (SLUICE_PDFIUM_PATH)",
        }
    }
}

/// The file of `library`: the one that is `given`, else in `lib` beside the executable, else in
/// `lib` one folder above it, else where `make runtime` puts it in a checkout, two folders above.
pub(super) fn find(library: Library, given: Option<&Path>) -> Result<PathBuf, SettingsError> {
    let executable = std::env::current_exe().ok();
    find_beside(library, given, executable.as_deref())
}

fn find_beside(
    library: Library,
    given: Option<&Path>,
    executable: Option<&Path>,
) -> Result<PathBuf, SettingsError> {
    if let Some(path) = given {
        if path.is_file() {
            return Ok(path.to_path_buf());
        }
        let problem = format!("there is no file `{}`; `make runtime` fetches it", path.display());
        return Err(SettingsError::new(library.setting(), problem));
    }
    let name = format!("{DLL_PREFIX}{}{DLL_SUFFIX}", library.stem());
    let above = executable.into_iter().flat_map(|path| path.ancestors().skip(1));
    let places: Vec<_> = above
        .zip(["lib", "lib", ".runtime/lib"])
        .map(|(folder, place)| folder.join(place).join(&name))
        .collect();
    if let Some(path) = places.iter().find(|path| path.is_file()) {
        return Ok(path.clone());
    }
    let places: Vec<_> = places.iter().map(|path| format!("`{}`", path.display())).collect();
    let problem = format!(
        "is not set, and there is no {}; `make runtime` fetches the library",
        places.join(" nor ")
    );
    Err(SettingsError::new(library.setting(), problem))
}

/// Folders in which the system's loader looks for what a library needs (ld.so(8)): those of
/// `LD_LIBRARY_PATH`, of its configuration, and the usual ones.
pub fn loader_folders() -> Vec<PathBuf> {
    let given = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let given = std::env::split_paths(&given).filter(|folder| folder.is_absolute());
    given.chain(configured(Path::new("/etc"))).chain(usual()).collect()
}

/// The folders that `ld.so.conf` names, and the files that it includes on every distribution.
fn configured(etc: &Path) -> Vec<PathBuf> {
    let included = std::fs::read_dir(etc.join("ld.so.conf.d"));
    let included = included.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut files: Vec<PathBuf> =
        included.filter(|path| path.extension().is_some_and(|end| end == "conf")).collect();
    files.sort();
    files.insert(0, etc.join("ld.so.conf"));
    let texts = files.iter().filter_map(|path| std::fs::read_to_string(path).ok());
    texts
        .flat_map(|text| text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>())
        .filter(|line| line.starts_with('/'))
        .map(PathBuf::from)
        .collect()
}

fn usual() -> impl Iterator<Item = PathBuf> {
    let multiarch = format!("{}-linux-gnu", std::env::consts::ARCH);
    ["/lib", "/usr/lib"].into_iter().flat_map(move |folder| {
        [PathBuf::from(folder).join(&multiarch), format!("{folder}64").into(), folder.into()]
    })
}

#[cfg(test)]
mod tests {
    use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
    use std::path::Path;

    use super::{Library, configured, find_beside};

    #[test]
    fn the_loader_is_configured_by_one_file_and_those_beside() {
        let etc = tempfile::tempdir().unwrap();
        assert!(configured(etc.path()).is_empty());
        let write = |name: &str, text: &str| std::fs::write(etc.path().join(name), text).unwrap();
        std::fs::create_dir(etc.path().join("ld.so.conf.d")).unwrap();
        write("ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n/opt/first\n");
        write("ld.so.conf.d/cuda.conf", "# of a package\n  /usr/local/cuda/lib64  \n");
        write("ld.so.conf.d/cuda.old", "/opt/never\n");
        let expected = ["/opt/first", "/usr/local/cuda/lib64"].map(Path::new);
        assert_eq!(configured(etc.path()), expected);
    }

    #[test]
    fn the_flag_wins_and_must_exist() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let found = find_beside(Library::Pdfium, Some(file.path()), None).unwrap();
        assert_eq!(found, file.path());
        let gone = find_beside(Library::Pdfium, Some(Path::new("gone.so")), None);
        assert!(gone.unwrap_err().to_string().contains("`gone.so`"));
    }

    #[test]
    fn the_nearest_place_above_the_executable_wins() {
        let root = tempfile::tempdir().unwrap();
        let executable = root.path().join("target/release/sluice");
        let name = format!("{DLL_PREFIX}onnxruntime{DLL_SUFFIX}");
        let find = || find_beside(Library::OnnxRuntime, None, Some(&executable));
        assert!(find().unwrap_err().to_string().starts_with("--onnxruntime (ORT_DYLIB_PATH): "));
        for folder in [".runtime/lib", "target/lib", "target/release/lib"] {
            let folder = root.path().join(folder);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(&name), "").unwrap();
            assert_eq!(find().unwrap(), folder.join(&name));
        }
    }
}
