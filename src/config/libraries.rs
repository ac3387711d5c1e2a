//! `flag, place of the executable -> path of a shared library`.
//!
//! Deliberately never asks the system's loader: which library runs must be plain to see, since a
//! record names its version.

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
/// `lib` one folder above it.
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
    let home = executable.and_then(Path::parent);
    let places: Vec<_> = home
        .into_iter()
        .flat_map(|home| [Some(home), home.parent()])
        .flatten()
        .map(|folder| folder.join("lib").join(&name))
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

#[cfg(test)]
mod tests {
    use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
    use std::path::Path;

    use super::{Library, find_beside};

    #[test]
    fn the_flag_wins_and_must_exist() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let found = find_beside(Library::Pdfium, Some(file.path()), None).unwrap();
        assert_eq!(found, file.path());
        let gone = find_beside(Library::Pdfium, Some(Path::new("gone.so")), None);
        assert!(gone.unwrap_err().to_string().contains("`gone.so`"));
    }

    #[test]
    fn the_folder_lib_beside_the_executable_comes_before_the_one_above() {
        let root = tempfile::tempdir().unwrap();
        let executable = root.path().join("bin/sluice");
        let name = format!("{DLL_PREFIX}onnxruntime{DLL_SUFFIX}");
        let find = || find_beside(Library::OnnxRuntime, None, Some(&executable));
        assert!(find().unwrap_err().to_string().starts_with("--onnxruntime (ORT_DYLIB_PATH): "));
        for folder in ["lib", "bin/lib"] {
            let folder = root.path().join(folder);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(&name), "").unwrap();
            assert_eq!(find().unwrap(), folder.join(&name));
        }
    }
}
