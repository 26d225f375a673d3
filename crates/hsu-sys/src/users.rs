//! Users and groups: names become numbers.

#[cfg(unix)]
#[path = "users/unix.rs"]
mod os;
#[cfg(not(unix))]
#[path = "users/elsewhere.rs"]
mod os;

/// Who a process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// All its groups.
    pub groups: Vec<u32>,
}

/// Why a name means nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UserError {
    /// No such user.
    #[error("no user {0:?} on this host (hint: `id {0}`)")]
    NoUser(String),
    /// No such group.
    #[error("no group {0:?} on this host (hint: `getent group {0}`)")]
    NoGroup(String),
    /// The database of users cannot be asked at present.
    #[error("cannot look up {name:?}: {}", std::io::Error::from_raw_os_error(*errno))]
    Lookup {
        /// Who was looked up.
        name: String,
        /// The error number of the system.
        errno: i32,
    },
    /// The platform does not know this kind of users.
    #[error("a worker cannot become another user on this platform")]
    Unsupported,
}

/// Who a worker becomes; none when neither is named.
///
/// A number is taken as it is, when no user has it as a name; one without an
/// entry gets the group of the same number. Without a group, the user's own
/// groups are taken.
///
/// # Errors
/// [`UserError`].
pub fn resolve(user: Option<&str>, group: Option<&str>) -> Result<Option<Identity>, UserError> {
    if user.is_none() && group.is_none() {
        return Ok(None);
    }
    os::resolve(user, group).map(Some)
}

/// Why this host has no such user or group, in words; none when it has both.
#[must_use]
pub fn missing(user: Option<&str>, group: Option<&str>) -> Option<String> {
    Some(match resolve(user, group).err()? {
        UserError::NoUser(name) => format!("no user {name:?} on this host"),
        UserError::NoGroup(name) => format!("no group {name:?} on this host"),
        error @ (UserError::Lookup { .. } | UserError::Unsupported) => error.to_string(),
    })
}

/// The user that this process acts as; 0 is root, and where there are no users.
#[must_use]
pub fn effective() -> u32 {
    os::effective()
}

/// The name of a user; the number when it has none.
#[must_use]
pub fn name(uid: u32) -> String {
    os::name(uid).unwrap_or_else(|| uid.to_string())
}

/// A number that can be an id: -1 means "unchanged" to the kernel and is none.
#[cfg(unix)]
fn id_number(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| is_number && *number != u32::MAX)
}

#[cfg(test)]
mod tests;
