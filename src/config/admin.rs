//! `environment -> the token of the admin port`.

use super::settings::{Secret, SettingsError, secret};

/// The variable that holds it; with `_FILE` behind it, the one that names its file.
const TOKEN: &str = "SLUICE_ADMIN_TOKEN";
/// Shortest token, in bytes: what a person makes up is guessed.
const TOKEN_BYTES_MIN: usize = 16;

/// The token that callers of the admin port must bring; `None` where none is set, and the port
/// stays closed.
pub fn token() -> Result<Option<Secret>, SettingsError> {
    secret(TOKEN)?.map(checked).transpose()
}

/// A token as a header can carry it, not shorter than [`TOKEN_BYTES_MIN`].
fn checked(token: Secret) -> Result<Secret, SettingsError> {
    let wrong = |problem: &str| {
        let made = "make one with `openssl rand -hex 32`";
        Err(SettingsError::new(TOKEN, format!("{problem}; {made}")))
    };
    let text = token.reveal();
    if text.len() < TOKEN_BYTES_MIN {
        return wrong(&format!("is shorter than {TOKEN_BYTES_MIN} bytes"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return wrong("holds more than visible ASCII characters");
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::super::settings::Secret;
    use super::checked;

    #[test]
    fn a_token_is_long_and_fits_a_header_and_no_error_tells_it() {
        let check = |token: &str| checked(Secret::new(token.to_owned()));
        assert_eq!(check("0123456789abcdef").unwrap().reveal(), "0123456789abcdef");
        for bad in
            ["", "short-token", "0123456789 abcdef", "0123456789abcdef\n", "0123456789\u{e9}cdef"]
        {
            let error = check(bad).unwrap_err().to_string();
            assert!(
                error.starts_with("SLUICE_ADMIN_TOKEN: ") && error.contains("openssl"),
                "{error}"
            );
            assert!(bad.is_empty() || !error.contains(bad), "{error}");
        }
    }
}
