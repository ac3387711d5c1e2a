//! `environment -> the token of the admin port`, from a variable or from a file that one names.

use std::ffi::OsString;
use std::path::PathBuf;

use super::settings::{Secret, SettingsError};

/// The token itself.
const TOKEN: &str = "SLUICE_ADMIN_TOKEN";
/// The file that holds it.
const TOKEN_FILE: &str = "SLUICE_ADMIN_TOKEN_FILE";
/// Shortest token, in bytes: what a person makes up is guessed.
const TOKEN_BYTES_MIN: usize = 16;
/// Largest file that is read for one, in bytes.
const FILE_BYTES_MAX: usize = 4_096;

/// The token that callers of the admin port must bring; `None` where none is set, and the port
/// stays closed.
pub fn token() -> Result<Option<Secret>, SettingsError> {
    let file = std::env::var_os(TOKEN_FILE).map(PathBuf::from);
    match (std::env::var_os(TOKEN), file) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => {
            Err(SettingsError::new(TOKEN, format!("is set beside {TOKEN_FILE}; keep one of them")))
        }
        (Some(token), None) => checked(TOKEN, token).map(Some),
        (None, Some(path)) => {
            let shown = path.display();
            let wrong = |problem: String| SettingsError::new(TOKEN_FILE, problem);
            let bytes = std::fs::read(&path)
                .map_err(|error| wrong(format!("reading `{shown}`: {error}")))?;
            if bytes.len() > FILE_BYTES_MAX {
                return Err(wrong(format!("`{shown}` is larger than {FILE_BYTES_MAX} bytes")));
            }
            let text = String::from_utf8(bytes)
                .map_err(|_not_text| wrong(format!("`{shown}` is not UTF-8")))?;
            checked(TOKEN_FILE, text.trim_end_matches(['\r', '\n']).into()).map(Some)
        }
    }
}

/// A token as a header can carry it, not shorter than [`TOKEN_BYTES_MIN`].
fn checked(setting: &str, token: OsString) -> Result<Secret, SettingsError> {
    let made = "make one with `openssl rand -hex 32`";
    let text = token.into_string().unwrap_or_default();
    if text.len() < TOKEN_BYTES_MIN {
        let problem = format!("is shorter than {TOKEN_BYTES_MIN} bytes; {made}");
        return Err(SettingsError::new(setting, problem));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        let problem = format!("holds more than visible ASCII characters; {made}");
        return Err(SettingsError::new(setting, problem));
    }
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::checked;

    #[test]
    fn a_token_is_long_and_fits_a_header_and_no_error_tells_it() {
        assert_eq!(checked("T", "0123456789abcdef".into()).unwrap().reveal(), "0123456789abcdef");
        for bad in
            ["", "short-token", "0123456789 abcdef", "0123456789abcdef\n", "0123456789\u{e9}cdef"]
        {
            let error = checked("T", bad.into()).unwrap_err().to_string();
            assert!(error.starts_with("T: ") && error.contains("openssl"), "{error}");
            assert!(bad.is_empty() || !error.contains(bad), "{error}");
        }
    }
}
