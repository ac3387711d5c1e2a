//! `NAME or NAME_FILE in the environment -> Secret`: the one way by which secrets come in.
//!
//! Deliberately knows no flag: a command line can be read by every process of the machine. A file is
//! what an orchestrator mounts; one line break at its end is not part of the secret.

use std::ffi::OsString;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::settings::SettingsError;

/// End of the name of a variable that holds the path of a file instead of the secret.
const FILE: &str = "_FILE";
/// Limit: size of a file with a secret; a chain of certificates is a tenth of it.
const SECRET_BYTES_MAX: u64 = 1 << 16;

/// A secret of the environment; no formatter prints it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Marks `secret` as one.
    pub const fn new(secret: String) -> Self {
        Self(secret)
    }

    /// The secret itself, for the one who asks for it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Gives the secret up, to the one who needs it.
    pub fn into_inner(self) -> String {
        self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The secret `name`: the variable of that name, or the file that `NAME_FILE` names. `None` where
/// neither is set, an error where both are or where the secret is empty.
pub fn secret(name: &str) -> Result<Option<Secret>, SettingsError> {
    let file = format!("{name}{FILE}");
    match (std::env::var_os(name), std::env::var_os(&file)) {
        (None, None) => Ok(None),
        (Some(value), None) => of_value(name, value).map(Some),
        (None, Some(path)) => of_file(&file, Path::new(&path)).map(Some),
        (Some(_), Some(_)) => {
            Err(SettingsError::new(name, format!("is set and {file} too; take one of them out")))
        }
    }
}

/// A secret that may change while the program runs, such as a token that an orchestrator renews in
/// its file: whoever needs it reads it anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// Never changes.
    Value(Secret),
    /// The file that holds it, and the variable that names the file.
    File(String, PathBuf),
}

impl Renewed {
    /// The one of `NAME` or `NAME_FILE`, read once to see that it is there.
    pub fn named(name: &str) -> Result<Option<Self>, SettingsError> {
        let Some(secret) = secret(name)? else { return Ok(None) };
        let file = format!("{name}{FILE}");
        Ok(Some(match std::env::var_os(&file) {
            Some(path) => Self::File(file, path.into()),
            None => Self::Value(secret),
        }))
    }

    /// The secret as it is now.
    pub fn read(&self) -> Result<Secret, SettingsError> {
        match self {
            Self::Value(secret) => Ok(secret.clone()),
            Self::File(name, path) => of_file(name, path),
        }
    }
}

/// The secret in the variable `name`.
pub(super) fn of_value(name: &str, value: OsString) -> Result<Secret, SettingsError> {
    let value =
        value.into_string().map_err(|_not_utf8| SettingsError::new(name, "is not UTF-8"))?;
    if value.is_empty() {
        return Err(SettingsError::new(name, "is empty"));
    }
    Ok(Secret(value))
}

/// The secret in the file at `path`, which the variable `name` names.
pub fn of_file(name: &str, path: &Path) -> Result<Secret, SettingsError> {
    let wrong = |problem: &str| {
        SettingsError::new(name, format!("the file `{}` {problem}", path.display()))
    };
    let mut text = String::new();
    let file =
        std::fs::File::open(path).map_err(|error| wrong(&format!("is not read: {error}")))?;
    // The error of text that is none names no byte of it.
    let read = file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text);
    let bytes = read.map_err(|error| wrong(&format!("is not read: {error}")))?;
    if u64::try_from(bytes).unwrap_or(u64::MAX) > SECRET_BYTES_MAX {
        return Err(wrong(&format!("has more than {SECRET_BYTES_MAX} bytes")));
    }
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(wrong("is empty"));
    }
    Ok(Secret(line.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{SECRET_BYTES_MAX, of_file, of_value};

    fn read(bytes: &[u8]) -> Result<String, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let secret = of_file("SLUICE_X_FILE", file.path());
        secret.map(|secret| secret.reveal().to_owned()).map_err(|error| error.to_string())
    }

    #[test]
    fn one_line_break_at_the_end_of_a_file_is_not_part_of_its_secret() {
        assert_eq!(read(b"hunter2").unwrap(), "hunter2");
        assert_eq!(read(b"hunter2\n").unwrap(), "hunter2");
        assert_eq!(read(b"hunter2\r\n").unwrap(), "hunter2");
        assert_eq!(read(b" hunter2 \n\n").unwrap(), " hunter2 \n");
    }

    #[test]
    fn a_file_that_holds_no_secret_is_named_without_its_words() {
        let large = vec![b'x'; usize::try_from(SECRET_BYTES_MAX).unwrap() + 1];
        for bytes in [b"".as_slice(), b"\n", b"hunter2\xFF", &large] {
            let error = read(bytes).unwrap_err();
            assert!(error.starts_with("SLUICE_X_FILE: the file `"), "{error}");
            assert!(!error.contains("hunter2") && error.len() < 300, "{error}");
        }
        let error = of_file("SLUICE_X_FILE", Path::new("/nonexistent/secret")).unwrap_err();
        assert!(error.to_string().contains("`/nonexistent/secret`"), "{error}");
    }

    #[test]
    fn no_formatter_prints_a_secret() {
        let secret = of_value("X", "hunter2".into()).unwrap();
        assert_eq!(format!("{secret:?}"), "***");
        assert!(of_value("X", "".into()).is_err());
    }
}
