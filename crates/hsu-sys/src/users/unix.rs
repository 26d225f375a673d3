//! Users on Unix: the system's databases.

use std::ffi::{CStr, CString, c_char};

use super::{Identity, UserError, id_number};

/// Room for the texts of one entry at first, and the most that is tried: a group
/// of a directory service may name thousands of members.
const FIRST_ROOM: usize = 4 << 10;
const MOST_ROOM: usize = 4 << 20;

struct User {
    uid: u32,
    gid: u32,
    name: CString,
}

pub(super) fn resolve(user: Option<&str>, group: Option<&str>) -> Result<Identity, UserError> {
    let found = user.map(find_user).transpose()?;
    let group = group.map(find_group).transpose()?;
    let (uid, own_group) = match &found {
        Some((uid, user)) => (*uid, user.as_ref().map(|user| user.gid)),
        // SAFETY: no memory is passed.
        None => (unsafe { libc::geteuid() }, None),
    };
    // A number without an entry has no group of its own: it gets one with its number.
    let gid = group.or(own_group).unwrap_or(uid);
    let groups = match found.and_then(|(_, user)| user) {
        Some(user) => groups_of(&user.name, gid),
        None => vec![gid],
    };
    Ok(Identity { uid, gid, groups })
}

pub(super) fn effective() -> u32 {
    // SAFETY: no memory is passed.
    unsafe { libc::geteuid() }
}

pub(super) fn name(uid: u32) -> Option<String> {
    let (_, user) = find_user(&uid.to_string()).ok()?;
    let user = user.filter(|user| user.uid == uid)?;
    user.name.into_string().ok()
}

fn find_user(text: &str) -> Result<(u32, Option<User>), UserError> {
    let unknown = || UserError::NoUser(text.to_owned());
    let name = CString::new(text).map_err(|_| unknown())?;
    let by_name = ask(text, |room, found| {
        read_user(room, found, |entry, buffer, length, result| {
            // SAFETY: every pointer outlives the call, and the buffer's length is given.
            unsafe { libc::getpwnam_r(name.as_ptr(), entry, buffer, length, result) }
        })
    })?;
    if let Some(user) = by_name {
        return Ok((user.uid, Some(user)));
    }
    let uid = id_number(text).ok_or_else(unknown)?;
    let by_number = ask(text, |room, found| {
        read_user(room, found, |entry, buffer, length, result| {
            // SAFETY: as above.
            unsafe { libc::getpwuid_r(uid, entry, buffer, length, result) }
        })
    })?;
    Ok((uid, by_number))
}

fn find_group(text: &str) -> Result<u32, UserError> {
    let unknown = || UserError::NoGroup(text.to_owned());
    let name = CString::new(text).map_err(|_| unknown())?;
    let by_name = ask(text, |room, found| {
        // SAFETY: all zeroes is a valid group.
        let mut entry: libc::group = unsafe { std::mem::zeroed() };
        let mut result = std::ptr::null_mut();
        let (buffer, length) = (room.as_mut_ptr(), room.len());
        let place = &raw mut entry;
        // SAFETY: every pointer outlives the call, and the buffer's length is given.
        let code =
            unsafe { libc::getgrnam_r(name.as_ptr(), place, buffer, length, &raw mut result) };
        *found = (!result.is_null()).then_some(entry.gr_gid);
        code
    })?;
    by_name.or_else(|| id_number(text)).ok_or_else(unknown)
}

/// Asks a database, with more room as long as it wants more; none when it has no such entry.
fn ask<T>(
    name: &str,
    mut look: impl FnMut(&mut [c_char], &mut Option<T>) -> i32,
) -> Result<Option<T>, UserError> {
    let mut room = vec![0; FIRST_ROOM];
    loop {
        let mut found = None;
        match look(&mut room, &mut found) {
            0 => return Ok(found),
            libc::ERANGE if room.len() < MOST_ROOM => room.resize(room.len() * 4, 0),
            libc::EINTR => {}
            // Source: getpwnam_r(3), ERRORS: these all mean "not found".
            libc::ENOENT | libc::ESRCH | libc::EBADF | libc::EPERM => return Ok(None),
            errno => return Err(UserError::Lookup { name: name.to_owned(), errno }),
        }
    }
}

fn read_user(
    room: &mut [c_char],
    found: &mut Option<User>,
    look: impl FnOnce(*mut libc::passwd, *mut c_char, usize, *mut *mut libc::passwd) -> i32,
) -> i32 {
    // SAFETY: all zeroes is a valid passwd.
    let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
    let mut result = std::ptr::null_mut();
    let code = look(&raw mut entry, room.as_mut_ptr(), room.len(), &raw mut result);
    if !result.is_null() {
        // SAFETY: the entry was found, so its name is a text in the room.
        let name = unsafe { CStr::from_ptr(entry.pw_name) }.to_owned();
        *found = Some(User { uid: entry.pw_uid, gid: entry.pw_gid, name });
    }
    code
}

#[cfg(target_os = "macos")]
type ListedGroup = i32;
#[cfg(not(target_os = "macos"))]
type ListedGroup = u32;

fn groups_of(name: &CStr, gid: u32) -> Vec<u32> {
    let mut groups: Vec<ListedGroup> = vec![0; 64];
    loop {
        let room = groups.len();
        let mut count = i32::try_from(room).unwrap_or(i32::MAX);
        let own = ListedGroup::from_ne_bytes(gid.to_ne_bytes());
        let list = groups.as_mut_ptr();
        // SAFETY: the list outlives the call, and its length is given.
        let done = unsafe { libc::getgrouplist(name.as_ptr(), own, list, &raw mut count) };
        let count = usize::try_from(count).unwrap_or(0);
        if done >= 0 {
            groups.truncate(count);
            return groups.into_iter().map(|id| u32::from_ne_bytes(id.to_ne_bytes())).collect();
        }
        if room >= MOST_ROOM {
            return vec![gid];
        }
        // Linux tells how many there are, macOS only that there are more.
        groups.resize(count.max(room * 2), 0);
    }
}
